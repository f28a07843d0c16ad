import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { lockExclusively } from './helpers-lock.ts';

/** Written last: a folder without it, or whose files differ from it, is not a finished one. */
const manifestName = 'manifest.json';
const manifestSchema = z.object({ files: z.record(z.string(), z.number()) });

const lockPollMs = 200;

export interface CachedFolder {
  readonly path: string;
  /** Made by this call, rather than found. */
  readonly built: boolean;
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

/**
 * The folder `root/key`, with plain files alone, which `build` fills when it is absent. What `build`
 * leaves half-way never counts: it works in `key.partial`, which is renamed at the end. Several
 * daemons may ask for the same key; one builds.
 * @param key names what goes into the folder, so that equal keys mean equal contents
 */
export const ensureCachedFolder = async (
  root: string,
  key: string,
  build: (folder: string) => Promise<void>,
  signal: AbortSignal,
): Promise<CachedFolder> => {
  const path = join(root, key);
  if (await isFinished(path)) return { path, built: false };
  await mkdir(root, { recursive: true });
  const lockPath = `${path}.lock`;
  let lock = await lockExclusively(lockPath);
  while (lock === undefined) {
    signal.throwIfAborted();
    await delay(lockPollMs, undefined, { signal });
    lock = await lockExclusively(lockPath);
  }
  const partial = `${path}.partial`;
  try {
    if (await isFinished(path)) return { path, built: false };
    await rm(path, { recursive: true, force: true });
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial);
    await build(partial);
    const names = await readdir(partial);
    const files: Record<string, number> = {};
    for (const name of names) files[name] = (await stat(join(partial, name))).size;
    await writeFile(join(partial, manifestName), JSON.stringify({ files }));
    await syncAll(partial, [...names, manifestName]);
    await rename(partial, path);
    return { path, built: true };
  } finally {
    await rm(partial, { recursive: true, force: true });
    // The lock file stays: one that is removed would be locked by one and made anew by another.
    await lock.close();
  }
};
