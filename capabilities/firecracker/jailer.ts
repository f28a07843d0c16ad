import { join } from 'node:path';
import type { Executor } from '../../core/plugin-api/index.ts';
import { isDynamic } from './interpreter.ts';
import type { Obstacle } from './own-user.ts';
import { formatVersion, versionOf, type Version } from './version.ts';

interface Jail {
  /** Firecracker, with no link in its path: the jailer calls the jail after it. */
  readonly execFile: string;
  readonly uid: number;
  readonly runFolder: string;
}

/**
 * Up to what are Firecracker's own arguments; those begin with `--id NAME` as well. In its jail it is the same process,
 * with the same standard output, and with no other descriptor.
 */
export const jailerArgs = (name: string, { execFile, uid, runFolder }: Jail): string[] => [
  ...['--id', name, '--exec-file', execFile, '--chroot-base-dir', runFolder],
  ...['--uid', String(uid), '--gid', String(uid)],
  // By 2 it might take itself out of the cgroup that we have put it into; by 1, and asked for none, it stays.
  ...['--cgroup-version', '1', '--'],
];

/** Where the jail is below `--chroot-base-dir`: env.rs of the jailer. */
export const jailPath = (execName: string, name: string): string => join(execName, name, 'root');

/** Of findmnt(8): what the mount of the state directory forbids, and a jail needs. */
const forbidden = ['nodev', 'noexec'];

/**
 * What keeps the jailer from being used.
 * @param firecracker its path, and its version
 * @param directory in which the jails are to be
 */
export const jailerObstacle = async (
  jailer: string,
  { path, version }: { readonly path: string; readonly version: Version },
  directory: string,
  exec: Executor,
): Promise<Obstacle | undefined> => {
  if ((await exec.which(jailer)) === undefined) {
    return {
      detail: `${jailer}, which firecracker.jailer asks for, is not installed`,
      remedy:
        'Put the jailer of Firecracker’s release on PATH, or set firecracker.jailer_binary; or firecracker.jailer = false.',
    };
  }
  const found = await versionOf(jailer, exec, 'Jailer');
  if (found === undefined)
    return { detail: `${jailer} is no jailer`, remedy: 'Set firecracker.jailer_binary to one.' };
  if (formatVersion(found) !== formatVersion(version)) {
    return {
      detail: `the jailer’s version is ${formatVersion(found)}, and Firecracker’s ${formatVersion(version)}`,
      remedy:
        'Install both of one release, and set firecracker.jailer_binary where PATH has others.',
    };
  }
  if (await isDynamic(path)) {
    return {
      detail: `${path} is linked dynamically, and there are no libraries in a jail`,
      remedy: 'Use the binaries of a release, which need none.',
    };
  }
  const { stdout } = await exec.run('findmnt', ['-n', '-o', 'VFS-OPTIONS', '-T', directory]);
  const options = stdout.trim().split(',');
  const bad = forbidden.find((option) => options.includes(option));
  return bad === undefined
    ? undefined
    : {
        detail: `the jails would be in ${directory}, on a file system that is mounted ${bad}`,
        remedy: `Mount it without ${bad}, or have the state directory elsewhere (BANGER_STATE_DIR).`,
      };
};

export const needsRoot: Obstacle = {
  detail: 'firecracker.jailer is for a daemon of root',
  remedy: 'Run the daemon as root, or set firecracker.jailer = false.',
};
