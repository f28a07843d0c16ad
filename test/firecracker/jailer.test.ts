import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pollUntil } from '../e2e/support/poll.ts';
import { noJailer, testJailer } from '../e2e/support/vmm.ts';
import { createWorld, smallVms, type World } from '../e2e/support/world.ts';
import { describeUnless } from '../support/skip.ts';

const config = (jailer: string): string =>
  `${smallVms}[firecracker]\njailer = true\njailer_binary = "${jailer}"\n`;

describeUnless(noJailer, 'Firecracker in a jail', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ config: config('no-such-jailer') });
  });
  afterAll(() => world.dispose());
  const refused = async (): Promise<string> => {
    const { code, stderr } = await world.cli(['vm', 'create', '--name', 'box']);
    expect(code).toBe(125);
    expect(await world.list()).toEqual([]);
    return stderr;
  };
  const rooms = async (): Promise<string[]> =>
    (await readdir(join(world.stateDirectory, 'firecracker'), { recursive: true })).filter((path) =>
      /\/run-[a-z2-7]+$/.test(path),
    );

  it('is refused before anything is made where there is no jailer, or that of another release', async () => {
    expect(await refused()).toMatch(
      /no-such-jailer.* is not installed.*firecracker\.jailer_binary/s,
    );
    await world.ok(['daemon', 'stop']);
    const other = join(world.root, 'other-jailer');
    await writeFile(other, '#!/bin/sh\necho "Jailer v1.9.3"\n', { mode: 0o755 });
    await world.writeConfig(config(other));
    expect(await refused()).toMatch(
      /the jailer’s version is 1\.9\.3, and Firecracker’s \d.*Install both/s,
    );
    await world.ok(['daemon', 'stop']);
    await world.writeConfig(config(await testJailer(join(world.root, 'f'))));
  });

  it('runs in its room alone, with its disks, its network and its console', async () => {
    await world.ok(['vm', 'create', '--name', 'box']);
    const { pid, logs, ip } = await world.show('box');
    const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
    expect(status).toMatch(/^Uid:(\t21000\d{5}){4}$/m);
    expect(status).toMatch(/^CapPrm:\t0{16}$/m);
    expect(await rooms()).toHaveLength(1);
    expect(await world.guest('box', 'ip -4 -br address show dev eth0')).toContain(`${ip ?? '-'}/`);
    expect(await world.guest('box', 'findmnt -n -o SOURCE /; findmnt -n -o SOURCE /root')).toBe(
      '/dev/vda\n/dev/vdb',
    );
    await world.guest('box', 'echo from the guest > /dev/console');
    await pollUntil('what the guest wrote to its console', 10_000, async () =>
      (await readFile(logs['console'] ?? '', 'utf8')).includes('from the guest') ? true : undefined,
    );
    const [first = ''] = (await world.ok(['vm', 'logs', '--metrics', 'box'])).split('\n');
    expect(JSON.parse(first)).toMatchObject({ utc_timestamp_ms: expect.any(Number) as number });
  });

  it('is adopted by the next daemon, and gets a larger disk from it', async () => {
    const { pid } = await world.show('box');
    await world.killDaemon();
    expect(await world.guest('box', 'echo adopted')).toBe('adopted');
    expect(await world.show('box')).toMatchObject({ state: 'running', pid, conditions: [] });
    await world.ok(['vm', 'set', 'box', '--disk-size', '9G']);
    expect(
      Number(await world.guest('box', 'df -BG --output=size /root | tail -n 1 | tr -dc 0-9')),
    ).toBe(9);
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });

  it('leaves no jail when it stops, or is killed while no daemon is there', async () => {
    await world.ok(['vm', 'stop', 'box']);
    expect(await rooms()).toEqual([]);
    await world.ok(['vm', 'start', 'box']);
    const { pid } = await world.show('box');
    await world.killDaemon();
    process.kill(pid ?? 0, 'SIGKILL');
    expect((await world.show('box')).state).toBe('stopped');
    expect(await rooms()).toEqual([]);
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });
});
