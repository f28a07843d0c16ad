import { existsSync } from 'node:fs';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { imagesCapability } from '../../../capabilities/images/index.ts';
import type { ImageInfo } from '../../../capabilities/images/contract.ts';
import type { Handlers } from '../../../core/capability.ts';
import type { OperationContext } from '../../../core/operation/context.ts';
import type { Executor } from '../../../core/host/executor.ts';
import type { Images } from '../../../core/plugin-api/services/images.ts';
import type { ImageSpec } from '../../../core/vmm/machine-spec.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';
import { DiskWorld, operation, startOf, vmRecord } from './support/disk-world.ts';
import { createFakeKernels, release } from './support/fake-kernels.ts';
import { withFileSystem } from '../../support/file-system.ts';
import { describeOwnedPath } from './support/owned-path-suite.ts';

describeOwnedPath({
  capability: imagesCapability,
  nameOf: (token) => `image-${token}`,
  isFolder: true,
  identity: {
    kind: 'image',
    id: '0123456789abcdef',
    name: 'debian-bookworm',
    recipe: 'r',
    init: 'lean',
    kernelId: 'k',
    createdAt: '2026-01-01T00:00:00Z',
  },
});

const name = 'debian-bookworm';
/** Half a minute on an idle machine. */
const buildTimeoutMs = 400_000;

const setUp = async (world: DiskWorld, exec: Executor = world.exec): Promise<Handlers> => {
  const kernels = await createFakeKernels(world);
  const vms = { get: (id: string) => vmRecord(id), isRunning: () => false };
  return world.setUp(imagesCapability, { services: { kernels, vms }, exec });
};

const act = async (
  handlers: Handlers,
  action: string,
  input: unknown,
  context: OperationContext = operation(),
): Promise<unknown> => handlers.actions?.[action]?.run(input, context);

const list = async (handlers: Handlers): Promise<ImageInfo[]> =>
  ((await act(handlers, 'list', {})) as { images: ImageInfo[] }).images;

const build = async (handlers: Handlers, context?: OperationContext): Promise<ImageInfo> =>
  (await act(handlers, 'build', { name }, context)) as ImageInfo;

/** What a finished or given-up build leaves in the cache, beside locks. */
const cached = async (world: DiskWorld): Promise<string[]> =>
  (await readdir(world.cache(imagesCapability))).filter((entry) => !entry.endsWith('.lock')).sort();

/** An Executor for which that tool's every use is the test's failure. */
const without = (exec: Executor, tool: string): Executor => ({
  ...exec,
  run: (file, args, options) =>
    [file, ...args].includes(tool)
      ? Promise.reject(new Error(`${tool} is not to run again`))
      : exec.run(file, args, options),
});

describe('image names', () => {
  let world: DiskWorld;
  let handlers: Handlers;
  beforeEach(async () => {
    world = await DiskWorld.create();
    handlers = await setUp(world);
  });
  afterEach(() => world.destroy());
  const images = (): Images => handlers.provides?.[0]?.service as Images;

  it('that are built in are known before anything is built', async () => {
    await images().assertKnown(name);
    expect((await list(handlers)).map((image) => [image.name, image.id, image.init])).toEqual([
      ['debian-bookworm', null, 'lean'],
      ['debian-bookworm-systemd', null, 'systemd'],
    ]);
  });

  it.each(['show', 'build', 'delete'])('that nobody knows are refused by %s', async (action) => {
    await expect(act(handlers, action, { name: 'debian-bookwrom' })).rejects.toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: expect.stringMatching(
        /did you mean 'debian-bookworm'.*debian-bookworm-systemd/,
      ) as string,
    });
    await expect(images().assertKnown('nonesuch')).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' });
  });

  it('that are not built cannot be deleted', async () => {
    await expect(act(handlers, 'delete', { name })).rejects.toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: expect.stringContaining('not built') as string,
    });
  });
});

/** Downloads and installs packages for real: a minute. */
describeUnless(
  firstOf(needsRoot(), needsTools('mmdebstrap', 'mkfs.ext4', 'debugfs', 'tar')),
  'an image from the distribution',
  () => {
    let world: DiskWorld;
    let handlers: Handlers;
    let image: ImageInfo;
    beforeAll(async () => {
      world = await DiskWorld.create();
      handlers = await setUp(world);
    });
    afterAll(() => world.destroy());

    const spec = async (vm = 'vm-1'): Promise<ImageSpec> => {
      const start = startOf(vmRecord(vm));
      await world.preStart(imagesCapability, handlers, start);
      if (start.machine.image === undefined) throw new Error('no image on the machine');
      return start.machine.image;
    };
    const debugfs = async (path: string, command: string): Promise<string> =>
      (await world.exec.run('debugfs', ['-R', command, path])).stdout;

    it(
      'ends at once when it is cancelled, and keeps what was downloaded',
      { timeout: buildTimeoutMs },
      async () => {
        const cancel = new AbortController();
        const context = operation(cancel.signal);
        let since = 0;
        const cancelled = build(handlers, {
          ...context,
          progress: ({ text }) => {
            // The installation, which mmdebstrap by itself would not leave.
            if (!text.includes('setting up') || since > 0) return;
            since = performance.now();
            cancel.abort(new Error('cancelled'));
          },
        });
        await expect(cancelled).rejects.toThrow('cancelled');
        expect(performance.now() - since).toBeLessThan(10_000);
        expect(await world.files(imagesCapability)).toEqual([]);
        expect(world.ledger.count({ capability: 'images' })).toBe(0);
        const left = await cached(world);
        expect(left).toEqual([expect.stringMatching(/^packages-.*\.downloads$/)]);
        const downloads = await readdir(join(world.cache(imagesCapability), left[0] ?? ''));
        expect(downloads.filter((file) => file.endsWith('.deb')).length).toBeGreaterThan(10);
      },
    );

    it(
      'is built once for two who ask at the same time, and both see it go on',
      { timeout: buildTimeoutMs },
      async () => {
        const [one, two] = [operation(), operation()];
        const built = await Promise.all([build(handlers, one), build(handlers, two)]);
        image = built[0];
        expect(built[1]).toEqual(image);
        expect(world.ledger.count({ capability: 'images', states: ['held'] })).toBe(1);
        expect(two.seen).toEqual(one.seen);
        const fractions = one.seen
          .filter(({ text }) => !text.includes('disk') && !text.includes('seed'))
          .flatMap(({ fraction }) => (fraction === undefined ? [] : [fraction]));
        expect(fractions.length).toBeGreaterThan(100);
        expect(one.seen.map(({ text }) => text)).toContain(`image ${name}: writing the root disk`);
        expect(await cached(world)).toEqual([image.id, expect.stringMatching(/^packages-\w+$/)]);
      },
    );

    it('has owners, modes and files as the packages have them, and banger’s own', async () => {
      const { rootPath } = await spec();
      await world.exec.run('e2fsck', ['-fn', rootPath], { timeoutMs: 60_000 });
      expect((await stat(rootPath)).size).toBe(8 * 1024 ** 3);
      for (const [path, is] of [
        ['/', /Mode: +0755[^]*User: +0 +Group: +0/],
        ['/usr/bin/sudo', /Mode: +04755[^]*User: +0 +Group: +0/],
        ['/etc/shadow', /Mode: +0640[^]*User: +0 +Group: +42/],
        ['/tmp', /Mode: +01777/],
        ['/dev', /Type: directory[^]*Links: 2/],
        ['/root', /Mode: +0700[^]*User: +0 +Group: +0/],
        ['/etc/banger/boot', /Mode: +0755[^]*User: +0 +Group: +0/],
        ['/usr/bin/tmux', /Type: regular/],
        ['/usr/bin/vim.tiny', /Type: regular/],
        [`/lib/modules/${release}/modules.dep`, /Type: regular/],
      ] as const)
        expect(await debugfs(rootPath, `stat ${path}`), path).toMatch(is);
      expect(await debugfs(rootPath, 'cat /usr/lib/os-release')).toContain('bookworm');
      expect(await debugfs(rootPath, 'cat /etc/banger/boot')).toContain('/usr/sbin/sshd');
      expect(await debugfs(rootPath, 'cat /root/.bashrc')).not.toBe('');
    });

    it('has nothing of the machine that built it', async () => {
      const { rootPath } = await spec();
      expect(await debugfs(rootPath, 'cat /etc/hostname')).toBe('localhost\n');
      expect(await debugfs(rootPath, 'cat /etc/resolv.conf')).toBe('');
      expect(await debugfs(rootPath, 'cat /etc/machine-id')).toBe('');
      expect(await debugfs(rootPath, 'ls /etc/ssh')).not.toContain('ssh_host_');
      expect(await debugfs(rootPath, 'ls /var/cache/apt/archives')).not.toContain('.deb');
    });

    it('has a work seed: its /root, for root alone', async () => {
      const { workSeedPath } = await spec();
      expect(await debugfs(workSeedPath, 'stat /')).toMatch(/Mode: +0700[^]*User: +0 +Group: +0/);
      expect(await debugfs(workSeedPath, 'ls /')).toContain('.bashrc');
      await world.exec.run('e2fsck', ['-fn', workSeedPath], { timeoutMs: 60_000 });
      expect((await stat(workSeedPath)).blocks * 512).toBeLessThan(16 * 1024 ** 2);
    });

    it('is never written to', async () => {
      const { rootPath, workSeedPath } = await spec();
      for (const path of [rootPath, workSeedPath]) expect((await stat(path)).mode & 0o222).toBe(0);
    });

    it('is the VM’s for good, is told by name, and cannot be deleted under it', async () => {
      const { id } = await spec('vm-1');
      expect((await list(handlers))[0]).toMatchObject({ name, id, usedBy: ['vm-1'] });
      await expect(act(handlers, 'delete', { name })).rejects.toMatchObject({
        code: 'IMAGE_IN_USE',
        message: expect.stringContaining('name-of-vm-1') as string,
      });
    });

    it('serves another state directory from the user’s cache, without the packages’ installation', async () => {
      const other = await DiskWorld.create();
      try {
        const there = await setUp(other, without(other.exec, 'mmdebstrap'));
        await rm(join(other.folder, 'cache'), { recursive: true, force: true });
        await other.exec.run('cp', [
          '-al',
          join(world.folder, 'cache'),
          join(other.folder, 'cache'),
        ]);
        expect((await build(there)).id).toBe(image.id);
      } finally {
        await other.destroy();
      }
    });

    it('goes on with the step that is missing, and never takes a half-done one', async () => {
      const other = await DiskWorld.create();
      try {
        const exec = without(other.exec, 'mmdebstrap');
        const there = await setUp(other, exec);
        await other.exec.run('cp', [
          '-al',
          join(world.folder, 'cache'),
          join(other.folder, 'cache'),
        ]);
        const folder = join(other.cache(imagesCapability), image.id ?? '');
        // As a killed daemon leaves it: no result, a half-written one and its scratch tree.
        await rm(folder, { recursive: true });
        for (const left of [`${folder}.partial`, `${folder}.scratch`]) {
          await other.exec.run('mkdir', [left]);
          await writeFile(join(left, 'root.ext4'), 'half');
        }
        expect((await build(there)).id).toBe(image.id);
        expect(await cached(other)).toEqual(await cached(world));
        expect((await stat(join(folder, 'root.ext4'))).size).toBe(8 * 1024 ** 3);
      } finally {
        await other.destroy();
      }
    });

    it('does not need the cache once it is stored, and comes back when its own folder is gone', async () => {
      await world.unwindVm({ id: 'vm-1' });
      const { rootPath } = await spec('vm-2');
      await world.unwindVm({ id: 'vm-2' });
      await rm(join(rootPath, '..'), { recursive: true });
      const again = await spec('vm-3');
      expect(again.id).toBe(image.id);
      await rm(world.cache(imagesCapability), { recursive: true });
      expect(existsSync((await spec('vm-4')).rootPath)).toBe(true);
      await rm(join(again.rootPath, '..'), { recursive: true });
      await expect(spec('vm-5')).rejects.toMatchObject({ code: 'IMAGE_IN_USE' });
      for (const id of ['vm-3', 'vm-4', 'vm-5']) await world.unwindVm({ id });
    });

    it('goes when it is deleted, from here and from the cache', async () => {
      expect(await act(handlers, 'delete', { name })).toEqual({ deleted: [image.id] });
      expect(await cached(world)).toEqual([]);
      expect(
        (await world.files(imagesCapability)).filter((file) => file.startsWith('image-')),
      ).toEqual([]);
      expect((await list(handlers))[0]?.id).toBeNull();
    });
  },
);

describeUnless(
  firstOf(needsRoot(), needsTools('mmdebstrap')),
  'a disk that is full while an image is built',
  () => {
    it('says so with the path and the log, and leaves nothing', async () => {
      const disk = await withFileSystem('tmpfs', 150);
      const world = await DiskWorld.create(disk.path);
      try {
        const handlers = await setUp(world);
        await expect(build(handlers)).rejects.toMatchObject({
          code: 'DISK_FULL',
          message: expect.stringContaining(world.cache(imagesCapability)) as string,
        });
        expect(await cached(world)).toEqual([]);
        expect(world.ledger.count({ capability: 'images' })).toBe(0);
      } finally {
        await world.destroy();
        await disk.destroy();
      }
    });
  },
);
