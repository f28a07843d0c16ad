import { mkdtemp, mkdir, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createExecutor, executorPath } from '../../core/host/create-executor.ts';
import { silentLog } from './silent-log.ts';

export interface MountedFileSystem {
  readonly path: string;
  destroy(): Promise<void>;
}

/** A file system of its own, of so many MiB, to fill up or to ask what it can. */
export const withFileSystem = async (
  type: 'tmpfs' | 'xfs',
  mebibytes: number,
): Promise<MountedFileSystem> => {
  const stdin = await open('/dev/null');
  const exec = createExecutor({
    log: silentLog,
    helpersLock: { fd: stdin.fd, ready: Promise.resolve() },
    path: executorPath(process.env['PATH']),
    isRoot: true,
  });
  const folder = await mkdtemp(join(tmpdir(), 'banger-mount-'));
  const path = join(folder, 'mount');
  await mkdir(path);
  if (type === 'tmpfs') {
    await exec.run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0755`, 'tmpfs', path]);
  } else {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await truncate(file, mebibytes * 1024 ** 2);
    await exec.run(`mkfs.${type}`, ['-q', file]);
    await exec.run('mount', ['-o', 'loop', file, path]);
  }
  return {
    path,
    destroy: async () => {
      await exec.run('umount', [path]);
      await stdin.close();
      await rm(folder, { recursive: true });
    },
  };
};
