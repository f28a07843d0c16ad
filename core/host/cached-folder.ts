import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { lockExclusively } from './helpers-lock.ts';

/** Written last: a folder without it, or whose files differ from it, is not a finished one. */
const manifestName = 'manifest.json';
const manifestSchema = z.object({ files: z.record(z.string(), z.number()) });

const lockPollMs = 200;
/** What a build that was killed leaves beside the folder; `$1` is the key. */
const leftover = /^(.+)\.(?:partial|scratch)$/;

export interface CachedFolder {
  readonly path: string;
  /** Made by this call, rather than found. */
  readonly built: boolean;
}

export interface CachedFolderOptions {
  readonly signal: AbortSignal;
  /** Told once where another process, or another operation of this one, builds the same folder. */
  onWait?(): void;
  /** For scratch trees whose files belong to others than this user; default: rm(1)'s equal. */
  removeTree?(path: string): Promise<void>;
}

const isFinished = async (path: string): Promise<boolean> => {
  try {
    const manifest = manifestSchema.parse(
      JSON.parse(await readFile(join(path, manifestName), 'utf8')),
    );
    for (const [name, size] of Object.entries(manifest.files)) {
      if ((await stat(join(path, name))).size !== size) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return false;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
};

/** What a power cut would otherwise leave: a renamed folder with files of the right size and no data. */
const syncAll = async (path: string, names: readonly string[]): Promise<void> => {
  for (const name of names) {
    const handle = await open(join(path, name), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
};

/** The lock file of a key stays for ever: one that is removed would be locked by one and made anew by another. */
const lockPath = (root: string, key: string): string => join(root, `${key}.lock`);

const locked = async <T>(
  root: string,
  key: string,
  { signal, onWait }: CachedFolderOptions,
  work: () => Promise<T>,
): Promise<T> => {
  let lock = await lockExclusively(lockPath(root, key));
  if (lock === undefined) onWait?.();
  while (lock === undefined) {
    signal.throwIfAborted();
    await delay(lockPollMs, undefined, { signal });
    lock = await lockExclusively(lockPath(root, key));
  }
  try {
    return await work();
  } finally {
    await lock.close();
  }
};

const partialOf = (root: string, key: string): string => join(root, `${key}.partial`);
const scratchOf = (root: string, key: string): string => join(root, `${key}.scratch`);

const removePlainTree = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

/** Removes what builds of other keys left when they were killed: their locks are free. */
const sweep = async (
  root: string,
  ownKey: string,
  removeTree: (path: string) => Promise<void>,
): Promise<void> => {
  for (const name of await readdir(root)) {
    const key = leftover.exec(name)?.[1];
    if (key === undefined) continue;
    const lock = key === ownKey ? undefined : await lockExclusively(lockPath(root, key));
    if (key !== ownKey && lock === undefined) continue; // someone works in there
    try {
      await removeTree(join(root, name));
    } finally {
      await lock?.close();
    }
  }
};

/**
 * The folder `root/key`, with plain files alone, which `build` fills when it is absent. What `build`
 * leaves half-way never counts: it works in `key.partial`, which is renamed at the end, and in the empty
 * folder `scratch`, which goes. Several daemons may ask for the same key; one builds.
 * @param key names what goes into the folder, so that equal keys mean equal contents
 */
export const ensureCachedFolder = async (
  root: string,
  key: string,
  build: (folder: string, scratch: string) => Promise<void>,
  options: CachedFolderOptions,
): Promise<CachedFolder> => {
  const path = join(root, key);
  if (await isFinished(path)) return { path, built: false };
  await mkdir(root, { recursive: true });
  const { removeTree = removePlainTree } = options;
  return locked(root, key, options, async () => {
    if (await isFinished(path)) return { path, built: false };
    await sweep(root, key, removeTree);
    await removePlainTree(path);
    const partial = partialOf(root, key);
    const scratch = scratchOf(root, key);
    try {
      await mkdir(partial);
      await mkdir(scratch);
      await build(partial, scratch);
      const names = await readdir(partial);
      const files: Record<string, number> = {};
      for (const name of names) files[name] = (await stat(join(partial, name))).size;
      await writeFile(join(partial, manifestName), JSON.stringify({ files }));
      await syncAll(partial, [...names, manifestName]);
      await rename(partial, path);
      return { path, built: true };
    } finally {
      await removePlainTree(partial);
      await removeTree(scratch);
    }
  });
};

/** Forgets what was built, once nobody builds it, and what a build could not remove of itself. */
export const removeCachedFolder = async (
  root: string,
  key: string,
  options: CachedFolderOptions,
): Promise<void> => {
  await mkdir(root, { recursive: true });
  const { removeTree = removePlainTree } = options;
  await locked(root, key, options, async () => {
    await removePlainTree(join(root, key));
    await removePlainTree(partialOf(root, key));
    if ((await readdir(root)).includes(`${key}.scratch`)) await removeTree(scratchOf(root, key));
  });
};
