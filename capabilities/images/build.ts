import { chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import {
  asFilesRoot,
  bootstrapMode,
  type Executor,
  type OperationContext,
  type RunOptions,
  type StoredKernel,
} from '../../core/plugin-api/index.ts';
import { changeImage, changesOf } from './change-image.ts';
import { bootstrap, type BootstrapOptions } from './mmdebstrap.ts';
import { createPackageProgress } from './progress.ts';
import type { ImageRecipe } from './recipe.ts';

export const packagesFile = 'packages.tar';
export const rootFile = 'root.ext4';
export const workSeedFile = 'work.ext4';

/**
 * Virtual sizes of the sparse files. 8 GiB because a VM's disks start as copies of these: a disk of the
 * default size then needs no resizing.
 */
export const rootBytes = 8 * 1024 ** 3;
export const workSeedBytes = 8 * 1024 ** 3;

const buildTimeoutMs = 30 * 60_000;

export interface BuildContext {
  readonly exec: Executor;
  readonly operation: OperationContext;
}

/** First step, the long one: the packages' files as a tar archive. */
export const buildPackages = async (
  recipe: ImageRecipe,
  archive: string,
  {
    operation,
    ...options
  }: Omit<BootstrapOptions, 'signal' | 'onLine'> & { readonly operation: OperationContext },
): Promise<void> => {
  const read = createPackageProgress();
  await bootstrap(recipe, archive, {
    ...options,
    signal: operation.signal,
    onLine: (line) => {
      const progress = read(line);
      if (progress !== undefined)
        operation.progress({ ...progress, text: `image ${recipe.name}: ${progress.text}` });
    },
  });
};

/** Sparse and owned by us, whoever writes into it afterwards. */
const createSparse = async (path: string, bytes: number): Promise<void> => {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
};

const mkfsArgs = (label: string, source: string, path: string): string[] => [
  '-q',
  '-F',
  '-L',
  label,
  '-m',
  '0',
  // "Lazy" leaves the inode tables to a thread in the guest's kernel. The journal needs no zeros: a new sparse
  // file reads as such, and 64 MiB of them would be written to each image.
  '-E',
  'lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0',
  '-d',
  source,
  path,
];

/** Second step: the archive and the kernel's modules as two ext4 files, root and work seed. */
export const buildFilesystems = async (
  recipe: ImageRecipe,
  packages: string,
  kernel: StoredKernel,
  folder: string,
  scratch: string,
  { exec, operation }: BuildContext,
): Promise<void> => {
  await exec.require('tar', 'mkfs.ext4', 'debugfs', 'e2fsck');
  const asRoot = asFilesRoot(exec, await bootstrapMode(exec));
  const options: RunOptions = { signal: operation.signal, timeoutMs: buildTimeoutMs };
  const tree = join(scratch, 'tree');
  await mkdir(tree);
  operation.progress({ text: `image ${recipe.name}: unpacking`, fraction: 0 });
  await asRoot(
    'tar',
    // A user namespace may not make device nodes; every guest's init mounts devtmpfs over /dev anyway.
    ['-xf', packages, '-C', tree, '--numeric-owner', '--anchored', '--exclude=./dev/*'],
    options,
  );
  await asRoot(
    'tar',
    ['-xf', kernel.modulesArchive, '-C', tree, '--keep-directory-symlink', '--numeric-owner'],
    options,
  );
  operation.progress({ text: `image ${recipe.name}: writing the root disk`, fraction: 0.4 });
  const root = join(folder, rootFile);
  await createSparse(root, rootBytes);
  await asRoot('mkfs.ext4', mkfsArgs('banger-root', tree, root), options);
  await changeImage(root, changesOf(recipe), scratch, exec, operation.signal);
  operation.progress({ text: `image ${recipe.name}: writing the work seed`, fraction: 0.9 });
  const seed = join(folder, workSeedFile);
  await createSparse(seed, workSeedBytes);
  await asRoot('mkfs.ext4', mkfsArgs('banger-work', join(tree, 'root'), seed), options);
  // `mkfs.ext4 -d` copies what is in a folder, and not the folder's own mode.
  await changeImage(seed, [{ kind: 'root', mode: 0o700 }], scratch, exec, operation.signal);
  // Every VM's disk builds on these, and hard links of them are in the state directories.
  for (const path of [root, seed]) await chmod(path, 0o400);
};
