import { chown, mkdir, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BangerError, codeOf } from '../../errors.ts';
import type { Host } from '../../host/host.ts';
import { folderName, roomName } from './names.ts';
import type { VmmUser } from './user.ts';

/**
 * What a VMM that is not the daemon's user has of the host's files: a folder for the run, in the VM's own. The VM's is
 * the daemon's alone, so that nothing of the VMM's is where the daemon looks for logs and sockets.
 */
export interface Room {
  readonly user: VmmUser;
  /** Whether the program becomes that user by itself, as a jailer does. */
  readonly isJail: boolean;
  /** The VMM's working folder below the run's. @param name of the process */
  pathOf(name: string): string;
  /** Puts into the working folder what the VMM is to find there, in the state in which it is to find it. */
  furnish(path: string): Promise<void>;
}

/** As what starts the VMM has to know it. */
export interface MadeRoom {
  /** Of the working folder. */
  readonly path: string;
  /** Whom the program is to be started as. */
  readonly become?: VmmUser;
}

export const makeRoom = async (base: string, room: Room, name: string): Promise<MadeRoom> => {
  const path = join(base, room.pathOf(name));
  await mkdir(path, { recursive: true, mode: 0o700 });
  await room.furnish(path);
  // Last: until then nothing but the daemon's is in there.
  await chown(path, room.user.uid, room.user.uid);
  return { path, ...(room.isJail ? {} : { become: room.user }) };
};

/**
 * Removes a run's room with all that is in it, once its VMM is gone: links in it are not followed.
 * @throws BangerError FOREIGN_OBJECT where the path is not one of a room of this claim
 */
export const removeRoom = async (path: string, token: string, host: Host): Promise<void> => {
  const isOurs = dirname(dirname(path)) === host.directory && basename(path) === roomName(token);
  if (!isOurs) throw new BangerError('FOREIGN_OBJECT', `${path} is no room of this run; it stays`);
  await rm(path, { recursive: true, force: true });
};

const isRoom = /^run-([a-z2-7]+)$/;
const folderPrefix = folderName('');

/** Those that are there. */
export const listRooms = async (
  directory: string,
): Promise<{ readonly token: string; readonly path: string }[]> => {
  const read = (path: string): Promise<string[]> =>
    readdir(path).catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return [];
      throw error;
    });
  const found: { token: string; path: string }[] = [];
  for (const folder of await read(directory)) {
    if (!folder.startsWith(folderPrefix)) continue;
    for (const name of await read(join(directory, folder))) {
      const token = isRoom.exec(name)?.[1];
      if (token !== undefined) found.push({ token, path: join(directory, folder, name) });
    }
  }
  return found;
};
