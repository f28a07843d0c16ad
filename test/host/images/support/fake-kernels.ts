import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kernelsCapability } from '../../../../capabilities/kernels/index.ts';
import { observePath } from '../../../../core/host/owned-path.ts';
import type { Kernels, StoredKernel } from '../../../../core/plugin-api/services/kernels.ts';
import type { DiskWorld } from './disk-world.ts';

export const release = '6.1.0-0-test';

/** A stored kernel without the download: what an image takes of it is its modules. */
export const createFakeKernels = async (world: DiskWorld): Promise<Kernels> => {
  const path = join(world.directory(kernelsCapability), 'kernel-aaaaaaaa');
  const tree = join(path, 'lib', 'modules', release);
  await mkdir(tree, { recursive: true });
  await writeFile(join(tree, 'modules.dep'), '');
  const modulesArchive = join(path, 'modules.tar');
  const options = ['--owner=0', '--group=0', '-C', path, `lib/modules/${release}`];
  await world.exec.run('tar', ['-cf', modulesArchive, ...options]);
  world.ledger.install({ capability: kernelsCapability, host: world.host(kernelsCapability) });
  const identity = { path, id: 'k', name: 'test', release, initrdModules: [], createdAt: '' };
  await world.ledger
    .bind(kernelsCapability, null, new AbortController().signal)
    .acquire({ key: 'k', scope: 'store', identity }, async () => ({
      value: undefined,
      observed: await observePath(path),
    }));
  const kernel: StoredKernel = {
    id: 'k',
    name: 'test',
    release,
    path: join(path, 'vmlinux'),
    initrdModules: [],
    modulesArchive,
    claimId: 'kernels/k',
  };
  return { resolve: () => Promise.resolve(kernel), get: () => kernel };
};
