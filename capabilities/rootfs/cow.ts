import { open, statfs } from 'node:fs/promises';
import { BangerError } from '../../core/plugin-api/index.ts';
import { chunkBytes } from './targets.ts';

/** One disk_exception: two 64-bit chunk numbers (drivers/md/dm-snap-persistent.c). */
const exceptionBytes = 16;

/**
 * The COW file's size for a disk of which every chunk is changed: a header, then areas of one chunk of exceptions and
 * the chunks that these are of. When an area is full the next one is written with zeros, so there is always
 * one more than is used.
 */
export const cowBytes = (diskBytes: number): number => {
  const chunks = Math.ceil(diskBytes / chunkBytes);
  const perArea = chunkBytes / exceptionBytes;
  return (1 + chunks + Math.floor(chunks / perArea) + 1) * chunkBytes;
};

/** Little-endian, 32 bits each: magic `SnAp`, valid, version, chunk size in sectors. */
const magic = 0x70416e53;
const validAt = 4;
/** Less than that and the disk would be full again before the guest is up. */
const roomToReviveBytes = 64 * 1024 ** 2;

export const freeBytes = async (folder: string): Promise<number> => {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
};

/**
 * When a write to the COW file fails, most often for want of room on the host, the kernel marks it as invalid for
 * good. All that the guest had flushed before is in it, and what was on its way has no exception: the disk is as after
 * a power cut, which its journal mends. So the mark is taken off where there is room again. The file is in no use.
 *
 * @returns whether it was marked
 * @throws BangerError DISK_FULL where there is still no room
 */
export const reviveCow = async (path: string, directory: string): Promise<boolean> => {
  const file = await open(path, 'r+');
  try {
    const header = Buffer.alloc(8);
    await file.read(header, 0, header.length, 0);
    // A new one has nothing but zeros.
    if (header.readUInt32LE(0) !== magic || header.readUInt32LE(validAt) !== 0) return false;
    const free = await freeBytes(directory);
    if (free < roomToReviveBytes) {
      throw new BangerError(
        'DISK_FULL',
        `the root disk ran out of room, and ${directory} still has ${String(Math.floor(free / 1024 ** 2))} MiB only`,
        { remedy: `Free some space there, then start the VM again; what it wrote is kept.` },
      );
    }
    header.writeUInt32LE(1, validAt);
    await file.write(header, validAt, 4, validAt);
    await file.sync();
    return true;
  } finally {
    await file.close();
  }
};
