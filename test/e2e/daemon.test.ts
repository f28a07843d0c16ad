import { once } from 'node:events';
import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftovers, tracesOf } from './support/leftovers.ts';
import { pollUntil } from './support/poll.ts';
import { becomeOtherBuild, copyProduct } from './support/product.ts';
import { runProgram } from './support/run-program.ts';
import { createWorld, type World } from './support/world.ts';

describe('a daemon that ends while a VM runs', () => {
  let world: World;
  let pid: number | null;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['vm', 'create', '--name', 'stays']);
    ({ pid } = await world.show('stays'));
    await world.guest('stays', 'echo before > /root/note');
  });
  afterAll(() => world.dispose());

  it('lets its user alone near its socket', async () => {
    expect((await stat(world.socketPath)).mode & 0o777).toBe(0o600);
    expect((await stat(world.runtimeDirectory)).mode & 0o077).toBe(0);
    expect((await stat(world.stateDirectory)).mode & 0o077).toBe(0);
  });

  it('runs from the compiled code that the build made', async () => {
    const log = await readFile(join(world.stateDirectory, 'daemon.log'), 'utf8');
    // V8 takes what was compiled under the very flags that the daemon has.
    expect(log).toMatch(/"codeCache":"used".*"daemon is up"/);
  });

  it('is followed by one that adopts the VM, when it was killed', async () => {
    const before = await world.killDaemon();
    expect(await world.guest('stays', 'cat /root/note')).toBe('before');
    expect(await world.show('stays')).toMatchObject({ state: 'running', pid, conditions: [] });
    const after = await world.status();
    expect(after.pid).not.toBe(before.pid);
    expect(after).toMatchObject({ instance: before.instance, vmsRunning: 1 });
  });

  it('has no command of the killed one go on when the next one answers, on whichever stream', async () => {
    const scripts = ['first', 'second', 'third'].map((name) => `echo $$ > ${name}; sleep 1000`);
    const ended = scripts.map((script) =>
      once(world.cliSpawn(['vm', 'exec', '-n', 'stays', '--', 'sh', '-c', script]), 'exit'),
    );
    const pids = 'cat first second third 2>/dev/null || true';
    await pollUntil('three commands', 60_000, async () =>
      /^\d+\n\d+\n\d+$/.test(await world.guest('stays', pids)) ? true : undefined,
    );
    await world.killDaemon();
    await Promise.all(ended);
    const alive = 'for pid in $(cat first second third); do ls -d /proc/$pid; done; true';
    expect(await world.guest('stays', alive)).toBe('');
  });

  it('says that the VM keeps running, when it is stopped', async () => {
    const stopped = await world.cli(['daemon', 'stop']);
    expect(stopped.code).toBe(0);
    expect(stopped.stderr).toContain('1 VM keeps running');
    await expect(access(world.socketPath)).rejects.toThrow('ENOENT');
    const status = await world.cli(['daemon', 'status']);
    expect(status.code).toBe(125);
    expect(await world.guest('stays', 'cat /root/note')).toBe('before');
    expect((await world.show('stays')).pid).toBe(pid);
  });

  it('is replaced by the CLI of another build, and the VM stays', async () => {
    const before = await world.status();
    const folder = join(world.root, 'p2');
    const other = await copyProduct(folder);
    await becomeOtherBuild(folder, 'fedcba9876543210');
    const run = (...args: string[]) => runProgram(other, args, { env: world.env });

    const listed = await run('vm', 'list');
    expect(listed.stderr).toContain('replaced the daemon');
    expect(listed.stdout).toMatch(/^stays +running /m);
    const after = await world.status();
    expect(after).toMatchObject({ buildId: 'fedcba9876543210', vmsRunning: 1 });
    expect(after.pid).not.toBe(before.pid);
    const noted = await run('vm', 'exec', 'stays', '--', 'cat', '/root/note');
    expect(noted).toMatchObject({ code: 0, stdout: 'before\n', stderr: '' });

    // And back again, through a command in the guest.
    expect(await world.guest('stays', 'cat /root/note')).toBe('before');
    expect(await world.status()).toMatchObject({ buildId: before.buildId, vmsRunning: 1 });
    expect((await world.show('stays')).pid).toBe(pid);
  });

  it('is followed by one that can still stop the VM in order', async () => {
    await world.killDaemon();
    await world.ok(['vm', 'stop', 'stays']);
    expect(await world.show('stays')).toMatchObject({ state: 'stopped', lastError: null });
    await world.ok(['vm', 'start', 'stays']);
    expect(await world.guest('stays', 'cat /root/note')).toBe('before');
  });

  it('notices a VM that ended while no daemon was there', async () => {
    const { pid } = await world.show('stays');
    await world.ok(['daemon', 'stop']);
    if (pid === null) throw new Error('it does not run');
    process.kill(pid, 'SIGKILL');
    expect((await world.show('stays')).state).toBe('stopped');
    await world.ok(['vm', 'start', 'stays']);
  });

  it('leaves nothing of itself when no VM runs', async () => {
    await world.ok(['vm', 'stop', 'stays']);
    await world.ok(['daemon', 'stop']);
    expect(await leftovers(await world.traces())).toEqual([]);
    expect((await world.list()).map(({ name }) => name)).toEqual(['stays']);
  });
});

describe('two daemons on one host', () => {
  it('do not disturb each other', async () => {
    await using first = await createWorld();
    await using second = await createWorld();
    await Promise.all([first, second].map((world) => world.ok(['vm', 'create', '--name', 'same'])));
    const [one, two] = [await first.show('same'), await second.show('same')];
    expect(one.ip).not.toBe(two.ip);
    expect((await first.status()).instance).not.toBe((await second.status()).instance);
    await first.guest('same', 'echo first > /root/whose');
    await second.guest('same', 'echo second > /root/whose');

    await first.dispose();
    expect(await second.guest('same', 'cat /root/whose')).toBe('second');
    const objects = (await tracesOf(await second.traces())).join('\n');
    expect(objects).toMatch(/^link bgr-\w+br$/m);
    expect(objects).toMatch(/^iptables-save nat .*banger:/m);
  });
});
