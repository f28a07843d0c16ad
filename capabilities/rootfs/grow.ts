import { open } from 'node:fs/promises';
import { growFile, type Executor } from '../../core/plugin-api/index.ts';
import { cowBytes } from './cow.ts';
import type { RootfsDriver } from './identity.ts';

/** Where a qcow2 file tells the disk's size: 64 bits, big-endian (docs/interop/qcow2.txt in QEMU's source). */
const qcow2SizeAt = 24;

const qcow2Bytes = async (path: string): Promise<number> => {
  const file = await open(path, 'r');
  try {
    const size = Buffer.alloc(8);
    await file.read(size, 0, size.length, qcow2SizeAt);
    return Number(size.readBigUInt64BE());
  } finally {
    await file.close();
  }
};

/** Makes a root disk that no VMM has open as large as that; a larger one stays as it is. */
export const growDisk = async (
  driver: RootfsDriver,
  path: string,
  bytes: number,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  switch (driver) {
    case 'qcow2':
      if ((await qcow2Bytes(path)) < bytes)
        await exec.run('qemu-img', ['resize', '-q', '-f', 'qcow2', path, String(bytes)], {
          signal,
        });
      return;
    case 'dm-snapshot':
      return growFile(path, cowBytes(bytes));
    case 'reflink':
    case 'copy':
      return growFile(path, bytes);
  }
};
