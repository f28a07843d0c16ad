import { chmod, stat, truncate } from 'node:fs/promises';
import type { Executor } from '../../core/plugin-api/index.ts';

const timeoutMs = 300_000;

/** A copy of the image's work seed, of the asked size: grown or, where the seed is larger, shrunk. */
export const createWorkDisk = async (
  seed: string,
  path: string,
  bytes: number,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  await exec.run('cp', ['--sparse=always', '--reflink=auto', '--', seed, path], {
    signal,
    timeoutMs,
  });
  await chmod(path, 0o600);
  const { size } = await stat(path);
  if (size === bytes) return;
  if (bytes > size) {
    await truncate(path, bytes);
    await exec.run('resize2fs', [path], { signal, timeoutMs });
    return;
  }
  await exec.run('resize2fs', [path, `${String(Math.floor(bytes / 1024))}K`], {
    signal,
    timeoutMs,
  });
  await truncate(path, bytes);
};
