import { readFile, rm, stat } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { workDiskCapability } from '../../../capabilities/work-disk/index.ts';
import type { Handlers } from '../../../core/capability.ts';
import type { Drive, ImageSpec } from '../../../core/vmm/machine-spec.ts';
import type { VmRecord } from '../../../core/vm/record.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';
import { DiskWorld, startOf, vmRecord } from '../images/support/disk-world.ts';
import { withFileSystem } from '../../support/file-system.ts';
import { describeOwnedPath } from '../images/support/owned-path-suite.ts';
import { createSmallImage, fillWithNoise, smallImageBytes } from '../images/support/small-image.ts';

describeOwnedPath({
  capability: workDiskCapability,
  nameOf: (token) => `work-${token}.ext4`,
  isFolder: false,
  identity: {},
});

const gib = 1024 ** 3;

const work = async (
  world: DiskWorld,
  handlers: Handlers,
  image: ImageSpec,
  vm: VmRecord,
): Promise<Drive> => {
  const start = startOf(vm, { image });
  await world.preStart(workDiskCapability, handlers, start);
  const [drive] = start.machine.drives;
  if (drive === undefined) throw new Error('no drive');
  return drive;
};

describeUnless(needsTools('mkfs.ext4', 'resize2fs', 'debugfs', 'e2fsck'), 'a work disk', () => {
  let world: DiskWorld;
  let image: ImageSpec;
  let handlers: Handlers;

  beforeEach(async () => {
    world = await DiskWorld.create();
    image = await createSmallImage(world);
    handlers = await world.setUp(workDiskCapability);
  });
  afterEach(() => world.destroy());

  const debugfs = async (path: string, command: string): Promise<string> =>
    (await world.exec.run('debugfs', ['-R', command, path])).stdout;

  it.each([
    ['that of the seed', smallImageBytes],
    ['larger', 20 * gib],
    ['smaller', smallImageBytes / 2],
    ['no whole number of blocks', smallImageBytes + 1000],
  ])('has the seed’s files and the asked size: %s', async (_, bytes) => {
    const drive = await work(world, handlers, image, vmRecord('vm-1', { diskBytes: bytes }));
    expect(drive).toMatchObject({ id: 'work', format: 'raw', readOnly: false, durable: true });
    const { size, blocks, mode } = await stat(drive.path);
    expect(size).toBe(bytes);
    expect(mode & 0o777).toBe(0o600);
    expect(blocks * 512).toBeLessThan(100 * 1024 ** 2); // sparse
    expect(await debugfs(drive.path, 'cat /hello')).toBe('from the image\n');
    const { stdout } = await world.exec.run('dumpe2fs', ['-h', drive.path]);
    const number = (field: string): number =>
      Number(new RegExp(`^${field}: +(\\d+)`, 'm').exec(stdout)?.[1]);
    const inside = number('Block count') * number('Block size');
    expect(bytes - inside).toBeLessThan(
      number('Block size') + (bytes > gib ? 128 * 1024 ** 2 : 4096),
    );
    await world.exec.run('e2fsck', ['-fn', drive.path]);
  });

  it('keeps what was written to it when the VM stops and starts, and when its root disk is another', async () => {
    const vm = vmRecord('vm-1', { diskBytes: gib });
    const drive = await work(world, handlers, image, vm);
    await world.exec.run('debugfs', ['-w', '-R', `write ${image.rootPath} kept`, drive.path]);
    await world.unwindRun(vm);
    const other = { ...image, id: 'newer', workSeedPath: '/nonexistent' };
    expect(await work(world, handlers, other, vm)).toEqual(drive);
    expect(await debugfs(drive.path, 'stat /kept')).toContain('Type: regular');
  });

  it('grows where the VM asks for more, and then has a step for the guest', async () => {
    const vm = vmRecord('vm-1', { diskBytes: gib });
    const { path } = await work(world, handlers, image, vm);
    expect(await handlers.provision?.(vm)).toEqual([]);
    await world.unwindRun(vm);
    const more = { ...vm, diskBytes: 2 * gib };
    await work(world, handlers, image, more);
    expect((await stat(path)).size).toBe(2 * gib);
    expect(await handlers.provision?.(more)).toMatchObject([
      { id: `grow-${2 * gib}`, kind: 'grow', path: '/root', bytes: 2 * gib, when: 'once' },
    ]);
    expect(await debugfs(path, 'cat /hello')).toBe('from the image\n');
  });

  it('is the VM’s own, and leaves the seed as it was', async () => {
    const before = await readFile(image.workSeedPath);
    const first = await work(world, handlers, image, vmRecord('vm-1', { diskBytes: gib }));
    const second = await work(world, handlers, image, vmRecord('vm-2', { diskBytes: gib }));
    await world.exec.run('debugfs', ['-w', '-R', 'rm /hello', first.path]);
    expect(await debugfs(second.path, 'cat /hello')).toBe('from the image\n');
    expect((await readFile(image.workSeedPath)).equals(before)).toBe(true);
  });

  it('goes with the VM, and its image may go before it', async () => {
    const vm = vmRecord('vm-1', { diskBytes: gib });
    const { path } = await work(world, handlers, image, vm);
    expect(await handlers.describe?.(vm)).toMatchObject({ path, size: gib });
    expect(world.ledger.count({ ownerId: vm.id, scopes: ['vm'] })).toBe(1);
    await world.unwindVm(vm);
    expect(await world.files(workDiskCapability)).toEqual([]);
    expect(await handlers.describe?.(vm)).toEqual({});
  });

  it('is never made anew in silence when it is gone', async () => {
    const vm = vmRecord('vm-1', { diskBytes: gib });
    const { path } = await work(world, handlers, image, vm);
    await rm(path);
    await expect(work(world, handlers, image, vm)).rejects.toMatchObject({
      code: 'VM_NOT_CLEAN',
      message: expect.stringContaining(path) as string,
    });
    await world.unwindVm(vm);
  });

  it('leaves nothing of a start that failed while it was made', async () => {
    const vm = vmRecord('vm-1', { diskBytes: gib });
    const broken = { ...image, workSeedPath: image.workSeedPath + '-gone' };
    await expect(work(world, handlers, broken, vm)).rejects.toThrow();
    await world.unwindRun(vm);
    expect(await world.files(workDiskCapability)).toEqual([]);
    expect(world.ledger.count({ ownerId: vm.id })).toBe(0);
  });
});

describeUnless(
  firstOf(needsRoot(), needsTools('resize2fs')),
  'a disk that is full while a work disk is made',
  () => {
    it('says so with the path, and leaves nothing', async () => {
      const disk = await withFileSystem('tmpfs', 8);
      const world = await DiskWorld.create(disk.path);
      const elsewhere = await DiskWorld.create();
      try {
        const image = await createSmallImage(elsewhere);
        const handlers = await world.setUp(workDiskCapability);
        const vm = vmRecord('vm-1', { diskBytes: gib });
        await fillWithNoise(elsewhere, image.workSeedPath);
        await expect(work(world, handlers, image, vm)).rejects.toMatchObject({
          code: 'DISK_FULL',
          message: expect.stringContaining(disk.path) as string,
        });
        await world.unwindRun(vm);
        expect(await world.files(workDiskCapability)).toEqual([]);
      } finally {
        await world.destroy();
        await elsewhere.destroy();
        await disk.destroy();
      }
    });
  },
);
