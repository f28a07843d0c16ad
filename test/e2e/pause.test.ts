import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pollUntil } from './support/poll.ts';
import { createWorld, type World } from './support/world.ts';

describe('a VM that is paused', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['vm', 'create', '--name', 'box']);
    // What is in memory alone, and a sign of life that the host can see without asking.
    await world.guest(
      'box',
      'mount -t tmpfs tmpfs /mnt; echo kept > /mnt/note; ' +
        '(while :; do echo alive; sleep 0.1; done) >/dev/console 2>&1 </dev/null &',
    );
  });
  afterAll(() => world.dispose());

  const said = async (): Promise<number> =>
    (await stat((await world.show('box')).logs['console'] ?? '')).size;
  const speaks = (from: number): Promise<boolean> =>
    pollUntil('a sign of life', 20_000, async () => ((await said()) > from ? true : undefined));

  it('stands still, keeps its memory, and says how to go on', async () => {
    const { pid, ip } = await world.show('box');
    await speaks(await said());
    await world.ok(['vm', 'pause', 'box']);
    expect(await world.ok(['vm', 'pause', 'box'])).toBe('');
    expect(await world.show('box')).toMatchObject({ state: 'paused', pid, ip, conditions: [] });
    expect(await world.ok(['vm', 'list'])).toMatch(/^box +paused /m);
    const refused = await world.cli(['vm', 'exec', 'box', '--', 'true']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain("VM 'box' is paused. Let it go on: banger vm resume box");
    for (const command of ['stats', 'ports', 'ssh'])
      expect((await world.cli(['vm', command, 'box'])).stderr).toContain("VM 'box' is paused");
    const before = await said();
    await delay(3_000); // what it would say meanwhile, if it went on
    expect(await said()).toBe(before);
    await world.ok(['vm', 'resume', 'box']);
    expect((await world.show('box')).state).toBe('running');
    await speaks(before);
    expect(await world.guest('box', 'cat /mnt/note')).toBe('kept');
  });

  it('has the time of day when it goes on', async () => {
    const before = Date.now() / 1000;
    const now = Number(await world.guest('box', 'date +%s'));
    // Whole seconds; and less than the three that it stood still.
    expect(now).toBeGreaterThan(before - 2);
    expect(now).toBeLessThan(Date.now() / 1000 + 1);
  });

  it('is left so by a daemon that is killed, and found so by the next', async () => {
    await world.ok(['vm', 'pause', 'box']);
    const { pid } = await world.show('box');
    await world.killDaemon();
    expect(await world.show('box')).toMatchObject({ state: 'paused', pid, conditions: [] });
    // To start it is to have it go on.
    await world.ok(['vm', 'start', 'box']);
    expect(await world.show('box')).toMatchObject({ state: 'running', pid, conditions: [] });
    expect(await world.guest('box', 'cat /mnt/note')).toBe('kept');
  });

  it('shuts down in order also where this daemon has found it paused', async () => {
    await world.guest('box', 'echo unflushed > /root/late');
    await world.ok(['vm', 'pause', 'box']);
    await world.killDaemon();
    await world.ok(['vm', 'stop', 'box']);
    expect(await world.show('box')).toMatchObject({ state: 'stopped', lastError: null });
    await world.ok(['vm', 'start', 'box']);
    expect(await world.guest('box', 'cat /root/late')).toBe('unflushed');
  });

  it('shuts down in order, and its end is noticed', async () => {
    await world.guest('box', 'echo kept > /root/note');
    await world.ok(['vm', 'pause', 'box']);
    await world.ok(['vm', 'stop', 'box']);
    expect(await world.show('box')).toMatchObject({ state: 'stopped', lastError: null });
    const refused = await world.cli(['vm', 'pause', 'box']);
    expect(refused).toMatchObject({ code: 125, stdout: '' });
    expect(refused.stderr).toContain("VM 'box' is stopped");

    await world.ok(['vm', 'start', 'box']);
    expect(await world.guest('box', 'cat /root/note')).toBe('kept');
    await world.ok(['vm', 'pause', 'box']);
    process.kill((await world.show('box')).pid ?? 0, 'SIGKILL');
    await pollUntil('the VM to be stopped', 20_000, async () =>
      (await world.show('box')).state === 'stopped' ? true : undefined,
    );
    await world.ok(['vm', 'start', 'box']);
    await world.ok(['vm', 'pause', 'box']);
    await world.ok(['vm', 'delete', '--force', 'box']);
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });
});
