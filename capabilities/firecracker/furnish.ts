import { chmod, chown, constants, copyFile, link, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, codeOf, type Executor } from '../../core/plugin-api/index.ts';
import type { StagedFile } from './stage.ts';

/** inode(7): read by those who are neither the owner nor in the group. */
const othersRead = 0o004;

/** makedev(3): 12 bits and 20, the minor's lower 8 below the major. */
const deviceNumbers = (rdev: bigint): readonly [major: string, minor: string] => [
  String(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
  String((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
];

/**
 * Where a link does not do, for it would lead to another file system.
 * @throws BangerError VM_RESOURCES
 */
const linkDisk = async (target: string, path: string): Promise<void> => {
  try {
    await link(target, path);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error;
    throw new BangerError(
      'VM_RESOURCES',
      `the disk ${target} is on another file system than ${path}, and Firecracker’s own user can reach it by a hard link alone`,
      {
        remedy:
          'Have all of the state directory on one file system (BANGER_STATE_DIR), or use vmm = "qemu".',
        cause: error,
      },
    );
  }
};

/** Of a file that others have as well, so that its owner stays: a link where everybody may read it, else a copy. */
const bringShared = async (
  target: string,
  path: string,
  mode: number,
  uid: number,
): Promise<void> => {
  if ((mode & othersRead) !== 0) {
    try {
      await link(target, path);
      return;
    } catch (error) {
      // Another file system, or one that knows no more links to it.
      if (!['EXDEV', 'EMLINK', 'EPERM'].includes(codeOf(error) ?? '')) throw error;
    }
  }
  await copyFile(target, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chown(path, uid, uid);
  await chmod(path, 0o400);
};

const bring = async (
  folder: string,
  { name, target, isWritten }: StagedFile,
  uid: number,
  exec: Executor,
): Promise<void> => {
  const path = join(folder, name);
  // /dev/mapper has links, and a hard link to one would be one.
  const real = await realpath(target);
  const found = await stat(real, { bigint: true });
  if (found.isBlockDevice()) {
    await exec.run('mknod', ['-m', '0600', path, 'b', ...deviceNumbers(found.rdev)]);
    await chown(path, uid, uid);
  } else if (isWritten) {
    await linkDisk(real, path);
    await chown(path, uid, uid);
  } else await bringShared(real, path, Number(found.mode), uid);
};

/**
 * A machine's files in a folder that its VMM's user sees, while the folders where they are may be closed to it.
 * @throws BangerError VM_RESOURCES
 */
export const furnish = async (
  folder: string,
  files: readonly StagedFile[],
  uid: number,
  exec: Executor,
): Promise<void> => {
  for (const file of files) await bring(folder, file, uid, exec);
};
