import { access } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { Executor, RunOptions } from './executor.ts';

/** How a distribution's root file system is put together on this host. */
export interface BootstrapMode {
  /** mmdebstrap(1) --mode */
  readonly mode: 'root' | 'unshare';
  readonly privileged: boolean;
}

/**
 * Root as it is; an ordinary user in a user namespace of its own where the host allows that (uidmap,
 * subuid, the sysctls and AppArmor rules that some distributions have); by sudo otherwise.
 */
export const bootstrapMode = async (exec: Executor): Promise<BootstrapMode> => {
  if (userInfo().uid === 0) return { mode: 'root', privileged: false };
  const hasMaps = await access('/etc/subuid').then(
    () => true,
    () => false,
  );
  if (hasMaps && (await exec.which('newuidmap')) !== undefined) {
    const probe = await exec.run('unshare', ['--map-auto', '--map-root-user', 'true'], {
      okCodes: [0, 1],
    });
    if (probe.exitCode === 0) return { mode: 'unshare', privileged: false };
  }
  return { mode: 'root', privileged: true };
};

/** Runs commands as the root of the tree's files: really, or in a user namespace. */
export const asFilesRoot =
  (exec: Executor, { mode, privileged }: BootstrapMode) =>
  async (file: string, args: readonly string[], options: RunOptions = {}): Promise<void> => {
    if (mode === 'unshare')
      await exec.run('unshare', ['--map-auto', '--map-root-user', '--', file, ...args], options);
    else await exec.run(file, args, { ...options, privileged });
  };

const removeTimeoutMs = 10 * 60_000;

/** Removes a tree of a distribution's files, whose owners this user may not be. */
export const removeFilesTree = async (exec: Executor, path: string): Promise<void> => {
  const asRoot = asFilesRoot(exec, await bootstrapMode(exec));
  await asRoot('rm', ['-rf', '--', path], { timeoutMs: removeTimeoutMs });
};
