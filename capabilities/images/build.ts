import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  asFilesRoot,
  BangerError,
  bootstrapMode,
  type Executor,
  type OperationContext,
  type RunOptions,
  type StoredKernel,
} from '../../core/plugin-api/index.ts';
import { debugfsScript, debugfsStat, type DebugfsChange } from './debugfs.ts';
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
  folder: string,
  { exec, operation }: BuildContext,
): Promise<void> => {
  await exec.require('mmdebstrap', 'tar');
  const { mode, privileged } = await bootstrapMode(exec);
  const read = createPackageProgress();
  await exec.run(
    'mmdebstrap',
    [
      `--mode=${mode}`,
      '--variant=minbase',
      '--verbose',
      `--include=${recipe.packages.join(',')}`,
      // A mirror is not named: mmdebstrap takes the host's, or the distribution's own.
      recipe.suite,
      join(folder, packagesFile),
    ],
    {
      privileged,
      signal: operation.signal,
      timeoutMs: buildTimeoutMs,
      onLine: (line) => {
        const progress = read(line);
        if (progress !== undefined)
          operation.progress({ ...progress, text: `image ${recipe.name}: ${progress.text}` });
      },
    },
  );
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
  // A sparse file reads as zeros, so nothing is left for the guest's kernel to initialise.
  '-E',
  'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0',
  '-d',
  source,
  path,
];

const damaged = (what: string): BangerError => new BangerError('IMAGE_BUILD_FAILED', what);

/** banger's own files, written into the finished file system without mounting it. */
export const customise = async (
  recipe: Pick<ImageRecipe, 'files' | 'removed'>,
  image: string,
  scratch: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  const changes: DebugfsChange[] = recipe.removed.map((path) => ({ kind: 'remove', path }));
  const folders = new Set<string>();
  for (const [index, file] of recipe.files.entries()) {
    const parent = dirname(file.path);
    if (parent.startsWith('/etc/banger')) folders.add(parent);
    const source = join(scratch, `file-${String(index)}`);
    await writeFile(source, file.content);
    changes.push({ kind: 'file', path: file.path, source, mode: file.mode });
  }
  const script = join(scratch, 'debugfs.cmd');
  await writeFile(
    script,
    debugfsScript([
      ...[...folders].map((path) => ({ kind: 'folder' as const, path, mode: 0o755 })),
      ...changes,
    ]),
  );
  await exec.run('debugfs', ['-w', '-f', script, image], { signal });
  // debugfs goes on past a command that failed: what counts is what is there now.
  const { exitCode } = await exec.run('e2fsck', ['-fn', image], {
    signal,
    timeoutMs: 120_000,
    okCodes: [0, 1, 2, 4],
  });
  if (exitCode !== 0) throw damaged(`e2fsck finds the new image damaged (${String(exitCode)})`);
  for (const { path } of recipe.files) {
    if (!(await isInImage(path, image, exec, signal)))
      throw damaged(`${path} did not get into the image`);
  }
  for (const path of recipe.removed) {
    if (await isInImage(path, image, exec, signal)) throw damaged(`${path} is still in the image`);
  }
};

const isInImage = async (
  path: string,
  image: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<boolean> => {
  const { stdout } = await exec.run('debugfs', ['-R', debugfsStat(path), image], { signal });
  return stdout.startsWith('Inode:');
};

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
  await asRoot('tar', ['-xf', packages, '-C', tree, '--numeric-owner'], options);
  await asRoot(
    'tar',
    ['-xf', kernel.modulesArchive, '-C', tree, '--keep-directory-symlink', '--numeric-owner'],
    options,
  );
  operation.progress({ text: `image ${recipe.name}: writing the root disk`, fraction: 0.4 });
  const root = join(folder, rootFile);
  await createSparse(root, rootBytes);
  await asRoot('mkfs.ext4', mkfsArgs('banger-root', tree, root), options);
  await customise(recipe, root, scratch, exec, operation.signal);
  operation.progress({ text: `image ${recipe.name}: writing the work seed`, fraction: 0.9 });
  const seed = join(folder, workSeedFile);
  await createSparse(seed, workSeedBytes);
  await asRoot('mkfs.ext4', mkfsArgs('banger-work', join(tree, 'root'), seed), options);
};
