import type { Stats } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Header } from 'tar-stream';
import { BangerError } from '../errors.ts';
import { FolderHandle } from './folder-handle.ts';
import { showName } from './names.ts';

/** Never setuid, setgid or sticky; the umask applies. */
export const modeMask = 0o777;

/** Ours to fill while we do, whatever its mode in the guest. */
export const folderMode = (header: Header): number => (header.mode & modeMask) | 0o700;

export const leadsOut = (path: readonly Buffer[], target: string): boolean => {
  if (target.startsWith('/')) return true;
  let depth = path.length - 1;
  for (const part of target.split('/')) {
    if (part === '..') depth -= 1;
    else if (part !== '' && part !== '.') depth += 1;
    if (depth < 0) return true;
  }
  return false;
};

export const makeFolder = async (
  above: FolderHandle,
  name: Buffer,
  mode: number,
  path: readonly Buffer[],
): Promise<FolderHandle> => {
  try {
    await above.makeFolder(name, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    return await above.enter(name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    throw new BangerError('INPUT_INVALID', `${showName(path)} is there, and is no folder`, {
      remedy: 'Remove it, or copy to another place; symlinks are not followed.',
    });
  }
};

export const lstatOrAbsent = async (path: string): Promise<Stats | undefined> => {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

export const targetOf = async (path: string, name: string | undefined): Promise<string> => {
  if (name === undefined) return path;
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  return isFolder ? join(path, name) : path;
};

export const openParent = async (path: string): Promise<FolderHandle> => {
  try {
    return await FolderHandle.open(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new BangerError('INPUT_INVALID', `there is no folder ${path}`, {
      remedy: 'Make it first, or copy to another place.',
    });
  }
};
