import { chmod, chown, lstat, mkdir, realpath, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BangerError, codeOf, type Executor, type Room } from '../../core/plugin-api/index.ts';
import { apiSocket, hostFolder, plainPaths, roomPaths, type Paths } from './configure.ts';
import { furnish } from './furnish.ts';
import { jailerArgs, jailPath } from './jailer.ts';
import { deviceGroups } from './own-user.ts';
import type { StagedFile } from './stage.ts';

/** How a run's Firecracker is started, and where it lives. */
export interface Quarters {
  readonly binary: string;
  argsOf(name: string, runFolder: string): readonly string[];
  readonly paths: Paths;
  /** Where it is a user of its own: the folder that it works in, with its machine's files. */
  readonly room?: Room;
}

export interface Programs {
  readonly binary: string;
  /** The jailer, where it starts Firecracker. */
  readonly jailer: string | undefined;
  readonly exec: Executor;
}

const apiArgs = (path: string): string[] => ['--api-sock', path];
const roomArgs = apiArgs(join(hostFolder, apiSocket));

/**
 * @param uid that of its own user; undefined where it is the daemon's
 * @throws BangerError TOOL_MISSING
 */
export const quartersFor = async (
  uid: number | undefined,
  files: readonly StagedFile[],
  { binary, jailer, exec }: Programs,
): Promise<Quarters> => {
  if (uid === undefined) {
    const argsOf = (name: string): string[] => ['--id', name, ...apiArgs(apiSocket)];
    return { binary, argsOf, paths: plainPaths };
  }
  const furnished = async (path: string): Promise<void> => {
    await furnish(path, files, uid, exec);
    await mkdir(join(path, hostFolder), { mode: 0o700 });
    await chown(join(path, hostFolder), uid, uid);
  };
  if (jailer === undefined) {
    const { groups } = await deviceGroups();
    const room = { user: { uid, groups }, isJail: false, pathOf: () => '', furnish: furnished };
    return { binary, argsOf: (name) => ['--id', name, ...roomArgs], paths: roomPaths, room };
  }
  const path = await exec.which(binary);
  if (path === undefined) throw new BangerError('TOOL_MISSING', `${binary} is not installed`);
  const execFile = await realpath(path);
  return {
    binary: jailer,
    argsOf: (name, runFolder) => [...jailerArgs(name, { execFile, uid, runFolder }), ...roomArgs],
    paths: roomPaths,
    room: {
      // The jailer makes it devices of its own.
      user: { uid, groups: [] },
      isJail: true,
      pathOf: (name) => jailPath(basename(execFile), name),
      furnish: furnished,
    },
  };
};

/** Before the sockets are there: a short way to them. @returns the folder in which they will be, as the daemon calls it */
export const openDoor = async (room: string, folder: string): Promise<string> => {
  if (room === folder) return folder;
  const door = join(folder, hostFolder);
  await symlink(join(room, hostFolder), door);
  return door;
};

/**
 * Once the sockets are there, and before the guest runs: nobody but the daemon can put others in their place, whatever
 * becomes of Firecracker. It still connects to those that the daemon makes there.
 */
export const closeDoor = async (room: string, folder: string): Promise<void> => {
  if (room === folder) return;
  const path = join(room, hostFolder);
  await chown(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(path, 0o711);
};

/** Of a Firecracker that runs: the folder in which its sockets are. */
export const doorOf = async (folder: string): Promise<string> => {
  const door = join(folder, hostFolder);
  try {
    await lstat(door);
    return door;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return folder;
    throw error;
  }
};
