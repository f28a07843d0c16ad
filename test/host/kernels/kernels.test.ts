import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { kernelsCapability } from '../../../capabilities/kernels/index.ts';
import type { KernelInfo } from '../../../capabilities/kernels/contract.ts';
import type { Handlers } from '../../../core/capability.ts';
import type { Kernels } from '../../../core/plugin-api/services/kernels.ts';
import { describeUnless, firstOf, needsTools } from '../../support/skip.ts';
import { DiskWorld, operation } from '../images/support/disk-world.ts';
import { describeOwnedPath } from '../images/support/owned-path-suite.ts';

describeOwnedPath({
  capability: kernelsCapability,
  nameOf: (token) => `kernel-${token}`,
  isFolder: true,
  identity: {
    id: '0123456789abcdef',
    name: 'debian-bookworm-cloud',
    release: '6.1.0-1',
    initrdModules: [],
    createdAt: '2026-01-01T00:00:00Z',
  },
});

const name = 'debian-bookworm-cloud';

/** Fetches the package, so it needs the distribution's archive. */
describeUnless(
  firstOf(needsTools('mmdebstrap', 'modinfo', 'depmod', 'lz4')),
  'the kernel from the distribution',
  () => {
    let world: DiskWorld;
    let handlers: Handlers;
    let kernels: Kernels;
    const list = async (): Promise<KernelInfo | undefined> =>
      ((await handlers.actions?.['list']?.run({}, operation())) as { kernels: KernelInfo[] })
        .kernels[0];

    beforeAll(async () => {
      world = await DiskWorld.create();
      handlers = await world.setUp(kernelsCapability);
      kernels = handlers.provides?.[0]?.service as Kernels;
    });
    afterAll(() => world.destroy());

    it('is listed before it is there', async () => {
      expect(await list()).toEqual({ name, id: null, release: null, bytes: null, createdAt: null });
    });

    it('leaves nothing when it is cancelled', async () => {
      const cancel = new AbortController();
      const watched = operation(cancel.signal);
      const fetching = kernels.resolve(name, {
        ...watched,
        progress: (progress) => {
          if (
            progress.text.includes('extracting') ||
            progress.text.includes('downloading packages')
          )
            cancel.abort();
        },
      });
      await expect(fetching).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
      expect(await world.files(kernelsCapability)).toEqual([]);
      expect(
        (await readdir(world.cache(kernelsCapability))).filter((n) => !n.endsWith('.lock')),
      ).toEqual([]);
      expect(world.ledger.count({})).toBe(0);
    });

    it('is fetched and unpacked once, for two that ask at the same time', async () => {
      const watched = [operation(), operation()];
      const [one, two] = await Promise.all(
        watched.map((operation) => kernels.resolve(name, operation)),
      );
      if (one === undefined) throw new Error('no kernel');
      expect(one).toEqual(two);
      expect(kernels.get(one.id)).toEqual(one);
      expect(world.ledger.count({ scopes: ['store'], states: ['held'] })).toBe(1);
      // Either may be the first.
      const downloads = watched.filter(({ seen }) =>
        seen.some(({ text }) => text.includes('downloading')),
      );
      expect(downloads).toHaveLength(1);
    });

    it('is an ELF kernel with its modules, the virtio ones in loading order', async () => {
      const kernel = await kernels.resolve(name, operation());
      const handle = await open(kernel.path);
      const { buffer } = await handle.read(Buffer.alloc(20), 0, 20, 0);
      await handle.close();
      expect(buffer.toString('latin1', 0, 4)).toBe('\x7fELF');
      expect(buffer.readUInt16LE(18)).toBe(62); // EM_X86_64, elf.h
      const modules = kernel.initrdModules.map((path) => path.split('/').at(-1));
      const at = (module: string): number => modules.indexOf(`${module}.ko`);
      for (const module of ['virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console'])
        expect(at(module)).toBeGreaterThan(at('virtio_ring'));
      expect(at('virtio_net')).toBeGreaterThan(at('net_failover'));
      for (const path of kernel.initrdModules)
        expect((await readFile(path)).toString('latin1', 0, 4)).toBe('\x7fELF');
      const { stdout } = await world.exec.run('tar', ['-tf', kernel.modulesArchive]);
      expect(stdout).toContain(`lib/modules/${kernel.release}/modules.dep\n`);
      expect(stdout).toMatch(/\/overlay\.ko\n/);
    });

    it('is listed with what it takes on disk', async () => {
      const kernel = await kernels.resolve(name, operation());
      const listed = await list();
      expect(listed).toMatchObject({ name, id: kernel.id, release: kernel.release });
      expect(listed?.bytes).toBeGreaterThan(50e6);
    });

    it('stays when the user’s cache is wiped, and comes back from it when its folder is', async () => {
      const kernel = await kernels.resolve(name, operation());
      await rm(join(kernel.path, '..'), { recursive: true });
      const again = await kernels.resolve(name, operation());
      expect(again.id).toBe(kernel.id);
      await rm(world.cache(kernelsCapability), { recursive: true });
      expect((await stat((await kernels.resolve(name, operation())).path)).size).toBeGreaterThan(
        20e6,
      );
    });

    it('has the same id when it is built again elsewhere', async () => {
      const other = await DiskWorld.create();
      try {
        const there = (await other.setUp(kernelsCapability)).provides?.[0]?.service as Kernels;
        const { id } = await there.resolve(name, operation());
        expect(id).toBe((await kernels.resolve(name, operation())).id);
      } finally {
        await other.destroy();
      }
    });

    it('is refused by another name, with those that there are', async () => {
      await expect(kernels.resolve('nonesuch', operation())).rejects.toMatchObject({
        code: 'KERNEL_UNKNOWN',
        message: expect.stringContaining(name) as string,
      });
    });
  },
);
