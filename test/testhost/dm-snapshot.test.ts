import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { openExecutor } from '../../scripts/lib/executor.ts';
import { folderToDisk } from '../../scripts/testhost.d/folder-disk.ts';
import { bootTestHost, type TestHost } from '../../scripts/testhost.d/host.ts';
import { pollUntil } from '../e2e/support/poll.ts';
import { innerBanger, type InnerBanger } from './support/inner.ts';
import { stage } from './support/stage.ts';

const config = `[defaults]
vcpus = 1
memory = "256M"
disk_size = "1G"
[rootfs]
driver = "dm-snapshot"
`;
/** A file system of 1 GiB, which a guest can fill. */
const small = '/srv/small';

describe('root disks by dm-snapshot, of guests on KVM', () => {
  let folder: string;
  let host: TestHost;
  let banger: InnerBanger;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bgt-'));
    const smallDisk = join(folder, 'small.raw');
    await mkdir(join(folder, 'empty'));
    await using exec = await openExecutor();
    const { signal } = new AbortController();
    await folderToDisk(join(folder, 'empty'), smallDisk, { exec, signal, journal: false });
    host = await bootTestHost({
      disks: [
        { path: inject('stageDisk'), mountPoint: stage.mountPoint },
        { path: smallDisk, mountPoint: small },
      ],
    });
    banger = await innerBanger(host, '/srv/stage/b', config);
  });
  afterAll(async () => {
    await host.dispose();
    await rm(folder, { recursive: true });
  });

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.log(await banger.log());
  });

  const targets = async (): Promise<string[]> =>
    (await host.ok(['dmsetup', 'ls'])).split('\n').filter((line) => line.startsWith('banger-'));
  const loops = (): Promise<string> => host.ok(['losetup', '--list', '--noheadings']);

  it('are what `vm run` boots from, and nothing of them is left', async () => {
    expect(await banger.ok(['doctor'])).toMatch(/qemu: QEMU \(KVM\)/);
    const script = 'findmnt -n -o SOURCE /; echo written > /written; sync; cat /written';
    const ran = await banger.cli(['vm', 'run', '--rm', '--', 'sh', '-c', script]);
    expect(ran, ran.stderr).toMatchObject({ code: 0, stdout: '/dev/vda\nwritten\n' });
    expect(await targets()).toEqual([]);
    expect(await loops()).toBe('');
    expect(await host.ok(['ls', `${banger.stateDirectory}/rootfs`])).toBe('');
    expect(await banger.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });

  it('are a target over two loops that we chose the numbers of', async () => {
    await banger.ok(['vm', 'create', '--name', 'box']);
    const { rootfs } = (await banger.show('box')).capabilities;
    const [target] = await targets();
    const name = target?.split('\t')[0] ?? '';
    expect(rootfs).toMatchObject({ driver: 'dm-snapshot', device: `/dev/mapper/${name}` });
    expect(await host.ok(['dmsetup', 'table', name])).toMatch(/^0 \d+ snapshot 7:100 7:101 P 8$/);
    const listed = await host.ok(['losetup', '--list', '--noheadings', '-O', 'NAME,RO']);
    expect(listed.split('\n').sort()).toEqual(['/dev/loop100  1', '/dev/loop101  0']);
  });

  it('are adopted by the next daemon', async () => {
    const { pid } = await banger.show('box');
    const status = JSON.parse(await banger.ok(['daemon', 'status', '--json'])) as { pid: number };
    await host.ok(['kill', '-KILL', String(status.pid)]);
    expect(await banger.guest('box', 'echo kept > /kept; sync; cat /kept')).toBe('kept');
    expect(await banger.show('box')).toMatchObject({ state: 'running', pid, conditions: [] });
  });

  it('keep what was written, when the VM is stopped and when its power is cut', async () => {
    await banger.ok(['vm', 'stop', 'box']);
    expect(await targets()).toEqual([]);
    expect(await loops()).toBe('');
    await banger.ok(['vm', 'start', 'box']);
    expect(await banger.guest('box', 'cat /kept; echo synced > /kept; sync')).toBe('kept');
    await banger.ok(['vm', 'kill', 'box']);
    await banger.ok(['vm', 'start', 'box']);
    expect(await banger.guest('box', 'cat /kept')).toBe('synced');
  });

  it('are found where no claim knows them, and others’ targets are left alone', async () => {
    const [target] = await targets();
    const instance = target?.split('-')[1] ?? '';
    const create = async (name: string, uuid: string): Promise<void> => {
      await host.ok(['dmsetup', 'create', name, '--uuid', uuid, '--table', '0 8 zero']);
    };
    await create(`banger-${instance}-aaaaaaaa`, `banger:${instance}:aaaaaaaa`);
    await create(`banger-${instance}-bbbbbbbb`, 'another-program');
    const { code, stdout } = await banger.cli(['doctor', '--leaks', '--json']);
    expect(code).toBe(1);
    expect(stdout).toContain(`banger-${instance}-aaaaaaaa`);
    expect(stdout).not.toContain(`${instance}-bbbbbbbb`);
    expect((await banger.cli(['doctor', '--leaks', '--fix'])).code).toBe(0);
    expect((await targets()).map((line) => line.split('\t')[0]).sort()).toEqual(
      [target?.split('\t')[0], `banger-${instance}-bbbbbbbb`].sort(),
    );
    await host.ok(['dmsetup', 'remove', `banger-${instance}-bbbbbbbb`]);
    expect(await banger.guest('box', 'cat /kept')).toBe('synced');
    await banger.ok(['vm', 'delete', '--force', 'box']);
    await banger.ok(['daemon', 'stop']);
    expect(await targets()).toEqual([]);
    expect(await loops()).toBe('');
  });

  it('are as large as was asked for, where they have /root as well', async () => {
    const large = `${config.replace('1G', '9G')}[capabilities]\nwork-disk = false\n`;
    const other = await innerBanger(host, '/srv/stage/large', large);
    await other.ok(['vm', 'create', '--name', 'large']);
    expect(
      Number(await other.guest('large', 'df -BM --output=size / | tr -dc 0-9')),
    ).toBeGreaterThan(8_500);
    expect((await targets()).map((line) => line.includes('-base'))).toContain(true);
    await other.ok(['vm', 'delete', '--force', 'large']);
    await other.ok(['daemon', 'stop']);
    expect(await targets()).toEqual([]);
    expect(await loops()).toBe('');
  });

  describe('on a host that runs out of room', () => {
    const ballast = `${small}/ballast`;
    let full: InnerBanger;
    beforeAll(async () => {
      full = await innerBanger(host, small, config);
      await host.ok(['fallocate', '-l', '128M', ballast]);
      await full.ok(['vm', 'create', '--name', 'eater']);
    });

    const condition = (kind: string): Promise<string> =>
      pollUntil(
        `the condition ${kind}`,
        60_000,
        async () =>
          (await full.show('eater')).conditions.find((each) => each.kind === kind)?.detail,
      );
    const freeMib = async (): Promise<number> =>
      Number(await host.ok(['sh', '-c', `df -BM --output=avail ${small} | tr -dc 0-9`]));

    it('warn from 80 % on', async () => {
      await full.guest('eater', 'echo before > /before; sync');
      const mib = Math.floor((await freeMib()) * 0.85);
      await full.guest('eater', `dd if=/dev/zero of=/big bs=1M count=${String(mib)} && sync`);
      expect(await condition('cow-80')).toMatch(/% of what there is room for; free some space in/);
      expect(await full.ok(['vm', 'list'])).toContain('cow-80');
    });

    it('take the warning back when there is room, also by the next daemon', async () => {
      const gone = (): Promise<true> =>
        pollUntil('no condition', 60_000, async () =>
          (await full.show('eater')).conditions.length === 0 ? true : undefined,
        );
      await host.ok(['rm', ballast]);
      await gone();
      await host.ok(['fallocate', '-l', '128M', ballast]);
      await full.guest('eater', 'touch /again; sync');
      await condition('cow-80');
      const status = JSON.parse(await full.ok(['daemon', 'status', '--json'])) as { pid: number };
      await host.ok(['kill', '-KILL', String(status.pid)]);
      await host.ok(['rm', ballast]);
      await gone();
      await host.ok(['fallocate', '-l', '128M', ballast]);
    });

    it('say that they are full, and how to go on', async () => {
      const mib = (await freeMib()) + 64;
      const dd = ['dd', 'if=/dev/zero', 'of=/more', 'bs=1M', `count=${String(mib)}`, 'conv=fsync'];
      const { code, stderr } = await full.cli(['vm', 'exec', 'eater', '--', ...dd]);
      expect(code, stderr).not.toBe(0);
      const detail = await condition('cow-full');
      expect(detail).toContain('banger vm restart eater');
      expect((await full.show('eater')).conditions.map(({ kind }) => kind)).toEqual(['cow-full']);
      expect(await full.ok(['vm', 'list'])).toContain('cow-full');
      expect(await full.ok(['daemon', 'logs'])).toContain('could not be written to any more');
    });

    it('are refused to a start while there is no room', async () => {
      await full.ok(['vm', 'kill', 'eater']);
      const { code, stderr } = await full.cli(['vm', 'start', 'eater']);
      expect(code).toBe(125);
      expect(stderr).toMatch(/ran out of room.*Free some space/s);
    });

    it('have what was flushed, once there is room again', async () => {
      await host.ok(['rm', ballast]);
      await full.ok(['vm', 'start', 'eater']);
      expect(await full.guest('eater', 'rm -f /big /more; cat /before')).toBe('before');
      expect((await full.show('eater')).conditions).toEqual([]);
      await full.ok(['vm', 'delete', '--force', 'eater']);
      await full.ok(['daemon', 'stop']);
      expect(await targets()).toEqual([]);
      expect(await loops()).toBe('');
    });
  });
});
