import { readFile, rm, stat } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imagesCapability } from '../../../capabilities/images/index.ts';
import { rootfsCapability } from '../../../capabilities/rootfs/index.ts';
import type { Handlers } from '../../../core/capability.ts';
import type { Drive, ImageSpec } from '../../../core/vmm/machine-spec.ts';
import type { VmRecord } from '../../../core/vm/record.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';
import { DiskWorld, startOf, vmRecord } from '../images/support/disk-world.ts';
import { withFileSystem, type MountedFileSystem } from '../../support/file-system.ts';
import { describeOwnedPath } from '../images/support/owned-path-suite.ts';
import {
  createSmallImage,
  fillWithNoise,
  holdImage,
  smallImageBytes,
} from '../images/support/small-image.ts';

describeOwnedPath({
  capability: rootfsCapability,
  nameOf: (token) => `root-${token}.qcow2`,
  isFolder: false,
  identity: { kind: 'disk', driver: 'qcow2' },
});

const root = async (
  world: DiskWorld,
  handlers: Handlers,
  image: ImageSpec,
  vm: VmRecord,
  formats: readonly ('raw' | 'qcow2')[] = ['qcow2', 'raw'],
): Promise<Drive> => {
  const start = startOf(vm, { image, diskFormats: formats });
  await world.preStart(rootfsCapability, handlers, start);
  const [drive] = start.machine.drives;
  if (drive === undefined) throw new Error('no drive');
  return drive;
};

const small = { diskBytes: smallImageBytes };
const one = vmRecord('vm-1', small);
const two = vmRecord('vm-2', small);

describeUnless(needsTools('qemu-img', 'qemu-io', 'mkfs.ext4', 'debugfs'), 'a root disk', () => {
  let world: DiskWorld;
  let image: ImageSpec;

  beforeEach(async () => {
    world = await DiskWorld.create();
    image = await createSmallImage(world);
  });
  afterEach(() => world.destroy());

  const write = (drive: Drive) =>
    world.exec.run('qemu-io', ['-f', drive.format, '-c', 'write -P 0xab 1M 64k', drive.path]);
  /** What a guest reads: the whole disk. */
  const content = async (drive: Drive): Promise<Buffer> => {
    const plain = `${world.folder}/plain`;
    await world.exec.run('qemu-img', [
      'convert',
      '-f',
      drive.format,
      '-O',
      'raw',
      drive.path,
      plain,
    ]);
    return readFile(plain);
  };

  describe.each(['qcow2', 'copy'] as const)('by %s', (driver) => {
    let handlers: Handlers;
    beforeEach(async () => {
      handlers = await world.setUp(rootfsCapability, { config: { driver } });
    });

    it('reads as the image, and takes a VM’s writes without changing it or another VM’s', async () => {
      const before = await readFile(image.rootPath);
      const first = await root(world, handlers, image, one);
      const second = await root(world, handlers, image, two);
      expect(first).toMatchObject({ id: 'root', readOnly: false, durable: true });
      expect((await content(first)).equals(before)).toBe(true);
      await write(first);
      expect((await content(first)).equals(before)).toBe(false);
      expect((await content(second)).equals(before)).toBe(true);
      expect((await readFile(image.rootPath)).equals(before)).toBe(true);
    });

    it('is the same one at the next start, whatever the setting is by then', async () => {
      const first = await root(world, handlers, image, one);
      await write(first);
      await world.unwindRun(one);
      const other = await world.setUp(rootfsCapability, {
        config: { driver: driver === 'qcow2' ? 'copy' : 'qcow2' },
      });
      expect(await root(world, other, image, one)).toEqual(first);
    });

    it('is larger than the image where the VM asks for more, and then the guest grows into it', async () => {
      const bytes = 4 * smallImageBytes;
      const vm = vmRecord('vm-1', { diskBytes: bytes });
      const drive = await root(world, handlers, image, vm);
      expect((await content(drive)).length).toBe(bytes);
      expect(await handlers.provision?.(vm)).toMatchObject([
        { id: `grow-root-${bytes}`, when: 'once' },
      ]);
      await root(world, handlers, image, two);
      expect(await handlers.provision?.(two)).toEqual([]);
    });

    it('grows at the next start where the VM asks for more by then, and keeps what is on it', async () => {
      const drive = await root(world, handlers, image, one);
      await write(drive);
      const before = await content(drive);
      await world.unwindRun(one);
      const more = { ...one, diskBytes: 4 * smallImageBytes };
      expect(await root(world, handlers, image, more)).toEqual(drive);
      const after = await content(drive);
      expect(after.length).toBe(more.diskBytes);
      expect(after.subarray(0, before.length).equals(before)).toBe(true);
      expect(await handlers.provision?.(more)).toHaveLength(1);
      expect(await handlers.provision?.(one)).toEqual([]);
      await world.unwindRun(one);
      await root(world, handlers, image, one);
      expect((await content(drive)).length).toBe(more.diskBytes);
    });

    it('is for this user’s eyes only, and takes little of the host’s disk', async () => {
      const { path } = await root(world, handlers, image, one);
      const { mode } = await stat(path);
      expect(mode & 0o777).toBe(0o600);
      const described = await handlers.describe?.(one);
      expect(described).toMatchObject({ driver, path });
      expect(described?.['bytes']).toBeLessThan(smallImageBytes / 4);
    });
  });

  it('keeps its image, which cannot go before the VM does', async () => {
    const handlers = await world.setUp(rootfsCapability, { config: { driver: 'qcow2' } });
    await root(world, handlers, image, one);
    const claims = world.ledger.bind(imagesCapability, null, new AbortController().signal);
    const [stored] = claims.list();
    if (stored === undefined) throw new Error('no image');
    await expect(claims.release(stored)).rejects.toMatchObject({
      code: 'CLAIM_IN_USE',
      message: expect.stringContaining('rootfs/vm-1') as string,
    });
    await world.unwindVm(one);
    expect(await world.files(rootfsCapability)).toEqual([]);
    await claims.release(stored);
  });

  it('is never made anew in silence when it is gone', async () => {
    const handlers = await world.setUp(rootfsCapability, { config: { driver: 'copy' } });
    const { path } = await root(world, handlers, image, one);
    await rm(path);
    await expect(root(world, handlers, image, one)).rejects.toMatchObject({
      code: 'VM_NOT_CLEAN',
      message: expect.stringContaining(path) as string,
    });
    expect(await handlers.describe?.(one)).toMatchObject({ lost: true });
    await world.unwindVm(one);
    expect(world.ledger.count({ ownerId: one.id })).toBe(0);
  });

  it('leaves nothing of a start that failed while it was made', async () => {
    const handlers = await world.setUp(rootfsCapability, { config: { driver: 'copy' } });
    const broken = { ...image, rootPath: `${image.rootPath}-gone` };
    await expect(root(world, handlers, broken, one)).rejects.toThrow();
    const cancel = new AbortController();
    cancel.abort();
    const cancelled = startOf(one, { image }, cancel.signal);
    await expect(world.preStart(rootfsCapability, handlers, cancelled)).rejects.toMatchObject({
      code: 'OPERATION_CANCELLED',
    });
    await world.unwindRun(one);
    expect(await world.files(rootfsCapability)).toEqual([]);
    expect(world.ledger.count({ ownerId: one.id })).toBe(0);
  });
});

describeUnless(
  firstOf(needsRoot(), needsTools('mkfs.xfs', 'qemu-img', 'losetup')),
  'on a file system that shares blocks',
  () => {
    let disk: MountedFileSystem;
    let world: DiskWorld;
    beforeEach(async () => {
      disk = await withFileSystem('xfs', 400);
      world = await DiskWorld.create(disk.path);
    });
    afterEach(async () => {
      await world.destroy();
      await disk.destroy();
    });

    it('is a reflink, and the probe leaves nothing', async () => {
      const image = await createSmallImage(world);
      const handlers = await world.setUp(rootfsCapability);
      const drive = await root(world, handlers, image, one);
      expect(drive.format).toBe('raw');
      expect(await handlers.describe?.(one)).toMatchObject({ driver: 'reflink' });
      expect(await world.files(rootfsCapability)).toHaveLength(1);
      expect((await readFile(drive.path)).equals(await readFile(image.rootPath))).toBe(true);
    });
  },
);

describeUnless(needsRoot(), 'a disk that is full while a root disk is copied', () => {
  it('says so with the path, and leaves nothing', async () => {
    const disk = await withFileSystem('tmpfs', 8);
    const world = await DiskWorld.create(disk.path);
    const elsewhere = await DiskWorld.create();
    try {
      const image = await createSmallImage(elsewhere);
      await fillWithNoise(elsewhere, image.rootPath);
      await holdImage(world, image.id, disk.path);
      const handlers = await world.setUp(rootfsCapability, { config: { driver: 'copy' } });
      await expect(root(world, handlers, image, one)).rejects.toMatchObject({
        code: 'DISK_FULL',
        message: expect.stringContaining(disk.path) as string,
      });
      await world.unwindRun(one);
      expect(await world.files(rootfsCapability)).toEqual([]);
    } finally {
      await world.destroy();
      await elsewhere.destroy();
      await disk.destroy();
    }
  });
});
