import { chmod, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from '../../core/host/executor.ts';

const blockBytes = 4096;
/** For what is written in there; the file is sparse. */
const spareBytes = 1024 ** 3;

/**
 * Makes an ext4 file system of what is in a folder.
 * @param journal for disks that outlive a power cut
 */
export const folderToDisk = async (
  folder: string,
  path: string,
  { exec, signal, journal }: { exec: Executor; signal: AbortSignal; journal: boolean },
): Promise<void> => {
  const { bytes, files } = await measure(folder);
  const handle = await open(path, 'wx', 0o600);
  // A sixth more than the files: inode tables and block bitmaps.
  await handle.truncate(Math.ceil(bytes * 1.2) + spareBytes).finally(() => handle.close());
  const inodes = String(files * 2 + 10_000);
  const features = journal ? 'has_journal' : '^has_journal';
  await exec.run(
    'mkfs.ext4',
    ['-q', '-F', '-m', '0', '-b', String(blockBytes), '-N', inodes, '-O', features, '-E'].concat([
      'lazy_itable_init=1,root_owner=0:0',
      '-d',
      folder,
      path,
    ]),
    { signal, timeoutMs: 10 * 60_000 },
  );
  await chmod(path, 0o600);
};

/** Blocks in use, not lengths: an image in there is sparse. */
const measure = async (folder: string): Promise<{ bytes: number; files: number }> => {
  let [bytes, files] = [0, 0];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const { blocks } = await lstat(join(entry.parentPath, entry.name));
    bytes += blocks * 512 + blockBytes;
    files++;
  }
  return { bytes, files };
};
