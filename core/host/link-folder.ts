import { link, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from './executor.ts';

/**
 * Makes the plain files of one folder appear in another: hard links on the same file system, sparse
 * copies elsewhere. They are never written to afterwards, so links cannot disturb each other.
 */
export const linkFolder = async (
  from: string,
  to: string,
  exec: Executor,
  signal?: AbortSignal,
): Promise<void> => {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    try {
      await link(source, target);
    } catch (error) {
      // Another file system, one without hard links, or too many links (65,000 on ext4).
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP'].includes(code)) throw error;
      await exec.run('cp', ['--sparse=always', '--reflink=auto', '--', source, target], {
        timeoutMs: 300_000,
        ...(signal === undefined ? {} : { signal }),
      });
    }
  }
};
