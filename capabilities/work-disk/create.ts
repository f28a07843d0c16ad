import { chmod, stat, truncate } from 'node:fs/promises';
import type { Executor } from '../../core/plugin-api/index.ts';

const timeoutMs = 300_000;

/** ext4's block, mke2fs(8)'s choice for all but tiny file systems. */
const blockBytes = 4096;

/**
 * A copy of the image's work seed, of the asked size: grown or, where the seed is larger, shrunk. The file
 * system takes whole blocks; what the size has beyond the last one stays unused.
 */
export const createWorkDisk = async (
  seed: string,
  path: string,
  bytes: number,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  const options = { signal, timeoutMs };
  await exec.run('cp', ['--sparse=always', '--reflink=auto', '--', seed, path], options);
  await chmod(path, 0o600);
  const { size } = await stat(path);
  if (bytes > size) {
    await truncate(path, bytes);
    await exec.run('resize2fs', [path], options);
  } else if (bytes < size) {
    // The seed's journal is of the seed's size: 64 MiB, too much for a small disk.
    await exec.run('tune2fs', ['-O', '^has_journal', path], options);
    await exec.run(
      'resize2fs',
      [path, `${String((Math.floor(bytes / blockBytes) * blockBytes) / 1024)}K`],
      options,
    );
    await exec.run('tune2fs', ['-j', path], options);
    await truncate(path, bytes);
  }
};
