import { readlink } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testVmm, vmmProgram } from './support/vmm.ts';
import { createWorld, type World } from './support/world.ts';

describe('the life of a VM', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });
  afterAll(() => world.dispose());

  it('is made, started and told of', async () => {
    const made = await world.cli(['vm', 'create', '--name', 'web', '--disk-size', '6G']);
    expect(made).toMatchObject({ code: 0, stdout: 'web\n' });
    const spec = /^spec: (.+)$/m.exec(made.stderr)?.[1];
    expect(spec).toBe('1 vcpu · 512 MiB · 6G disk');
    expect(await world.ok(['vm', 'show', 'web'])).toContain(spec);

    const [vm] = await world.list();
    expect(vm).toMatchObject({
      name: 'web',
      state: 'running',
      image: 'debian-bookworm',
      vcpus: 1,
      memoryMib: 512,
      diskBytes: 6 * 1024 ** 3,
      vmm: testVmm,
      ephemeral: false,
      conditions: [],
    });
    expect(vm?.ip).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(Date.now() - Date.parse(vm?.createdAt ?? '')).toBeLessThan(600_000);
    expect(await world.ok(['vm', 'list', '-q'])).toBe(vm?.id);
    expect(await world.guest('web', 'hostname')).toBe('web');
  });

  it('has what it was given', async () => {
    expect(await world.guest('web', 'nproc')).toBe('1');
    const kib = Number(await world.guest('web', "awk '/MemTotal/ { print $2 }' /proc/meminfo"));
    expect(kib).toBeGreaterThan(380 * 1024);
    expect(kib).toBeLessThanOrEqual(512 * 1024);
    const bytes = Number(await world.guest('web', 'df -B1 --output=size /root | tail -n 1'));
    // The file system's own tables take a few per cent.
    expect(bytes).toBeGreaterThan(5.4 * 1024 ** 3);
    expect(bytes).toBeLessThanOrEqual(6 * 1024 ** 3);
    const { ip } = await world.show('web');
    expect(await world.guest('web', 'ip -4 -br addr')).toContain(`${ip ?? 'none'}/`);
  });

  const gib = 1024 ** 3;
  const workBytes = async (): Promise<number> =>
    Number(await world.guest('web', 'df -B1 --output=size /root | tail -n 1'));

  it('gets a larger disk while it runs', async () => {
    await world.guest('web', 'head -c 3000000 /dev/urandom > /root/kept; sync');
    const sum = await world.guest('web', 'sha256sum /root/kept');
    const set = await world.cli(['vm', 'set', 'web', '--disk-size', '9G']);
    expect(set).toMatchObject({ code: 0 });
    expect(set.stderr).toContain('web has 1 vcpu · 512 MiB · 9G disk');
    expect(set.stderr).not.toContain('next start');
    expect(await workBytes()).toBeGreaterThan(8.4 * gib);
    expect(await world.guest('web', 'sha256sum /root/kept')).toBe(sum);
    expect(await world.cli(['vm', 'set', 'web', '--disk-size', '8G'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has 9G, and disks grow only') as string,
    });
    expect(await world.show('web')).toMatchObject({
      diskBytes: 9 * gib,
      current: { diskBytes: 9 * gib },
    });
  });

  it('gets virtual CPUs and memory at its next start, and is told so', async () => {
    const set = await world.cli(['vm', 'set', 'web', '--vcpu', '2', '--memory', '640M']);
    expect(set).toMatchObject({ code: 0 });
    expect(set.stderr).toContain(
      'at its next start: 2 vcpu (1 vcpu now) · 640 MiB (512 MiB now); now: banger vm restart web',
    );
    expect(await world.ok(['vm', 'show', 'web'])).toMatch(/next start: +2 vcpu \(1 vcpu now\)/);
    expect(await world.show('web')).toMatchObject({
      vcpus: 2,
      memoryMib: 640,
      current: { vcpus: 1, memoryMib: 512 },
    });
    await world.ok(['vm', 'stop', 'web']);
    expect(await world.ok(['vm', 'set', 'web', '--disk-size', '10G', '--json'])).toContain(
      '"current": null',
    );
    await world.ok(['vm', 'start', 'web']);
    expect(await world.guest('web', 'nproc')).toBe('2');
    const kib = Number(await world.guest('web', "awk '/MemTotal/ { print $2 }' /proc/meminfo"));
    expect(kib).toBeGreaterThan(512 * 1024);
    expect(await workBytes()).toBeGreaterThan(9.4 * gib);
    await world.ok(['vm', 'set', 'web', '--vcpu', '1', '--memory', '512M']);
    expect(await world.ok(['vm', 'show', 'web'])).toMatch(/next start: +1 vcpu \(2 vcpu now\)/);
  });

  it('says what there is to change where nothing was named', async () => {
    expect(await world.cli(['vm', 'set', 'web'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nothing to change') as string,
    });
    expect(await world.cli(['vm', 'set', 'web', '--nat', 'maybe'])).toMatchObject({ code: 2 });
    expect(await world.cli(['vm', 'set', 'web', '--memory', '99999G'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('more than the host has') as string,
    });
  });

  it('records the pid of the VMM itself', async () => {
    const { pid } = await world.show('web');
    expect(await readlink(`/proc/${pid ?? 0}/exe`)).toContain(vmmProgram);
  });

  it('has a daemon that tells of itself', async () => {
    const status = await world.status();
    expect(status).toMatchObject({
      vms: 1,
      vmsRunning: 1,
      socket: world.socketPath,
      configPath: world.configPath,
      configFound: true,
      stateDirectory: world.stateDirectory,
      recovery: { state: 'done', pending: [] },
      operations: [],
    });
    expect(await readlink(`/proc/${status.pid}/exe`)).toContain('node');
    expect(status.capabilities.find(({ id }) => id === 'nat')).toMatchObject({
      enabled: true,
      error: null,
    });
    expect(status.rssBytes).toBeGreaterThan(0);
    expect(status.uptimeSeconds).toBeGreaterThanOrEqual(0);
  });

  it('starts what runs without doing anything', async () => {
    const before = await world.show('web');
    const again = await world.cli(['vm', 'start', 'web']);
    expect(again).toMatchObject({ code: 0, stdout: '' });
    expect(again.stderr).toContain('is running already');
    expect((await world.show('web')).pid).toBe(before.pid);
  });

  it('refuses to delete what runs, and says how', async () => {
    const refused = await world.cli(['vm', 'delete', 'web']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain('--force');
    expect((await world.show('web')).state).toBe('running');
  });

  it('restarts into a new process with the same disks and address', async () => {
    const before = await world.show('web');
    await world.guest('web', 'echo kept > /root/note');
    await world.ok(['vm', 'restart', 'web']);
    const after = await world.show('web');
    expect(after).toMatchObject({ state: 'running', id: before.id, ip: before.ip });
    expect(after.pid).not.toBe(before.pid);
    expect(await world.guest('web', 'cat /root/note')).toBe('kept');
  });

  it('stops, and stops again', async () => {
    const { pid } = await world.show('web');
    await world.ok(['vm', 'stop', 'web']);
    expect(await world.show('web')).toMatchObject({ state: 'stopped', pid: null, lastError: null });
    await expect(readlink(`/proc/${pid ?? 0}/exe`)).rejects.toThrow('ENOENT');
    const again = await world.cli(['vm', 'stop', 'web']);
    expect(again.code).toBe(0);
    expect(again.stderr).toContain('is stopped already');
    expect((await world.cli(['vm', 'kill', 'web'])).code).toBe(0);
    const exec = await world.cli(['vm', 'exec', 'web', '--', 'true']);
    expect(exec.code).toBe(125);
    expect(exec.stderr).toContain('vm start');
  });

  it('puts a VM on record without starting it', async () => {
    expect(await world.ok(['vm', 'create', '--no-start', '--name', 'idle'])).toBe('idle');
    expect(await world.show('idle')).toMatchObject({ state: 'stopped', pid: null });
    const taken = await world.cli(['vm', 'create', '--no-start', '--name', 'idle']);
    expect(taken.code).toBe(125);
    expect(taken.stderr).toContain("'idle'");
  });

  it('takes several names at once', async () => {
    await world.ok(['vm', 'start', 'web', 'idle'], { timeoutMs: 240_000 });
    expect((await world.list()).map(({ state }) => state)).toEqual(['running', 'running']);
    const killed = await world.cli(['vm', 'kill', 'web', 'nosuch', 'idle']);
    expect(killed.code).toBe(125);
    expect(killed.stderr).toContain("'nosuch'");
    expect((await world.list()).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
  });

  it('deletes what is stopped, and with --force what runs', async () => {
    await world.ok(['vm', 'start', 'idle']);
    await world.ok(['vm', 'delete', '--force', 'web', 'idle']);
    expect(await world.list()).toEqual([]);
    expect((await world.cli(['vm', 'show', 'web'])).stderr).toContain("'web'");
  });
});
