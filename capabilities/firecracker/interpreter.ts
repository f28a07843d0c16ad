import { open } from 'node:fs/promises';

/** elf(5), of 64 bits and little endian: where the program headers are, how long each, and how many. */
const headBytes = 64;
const elf64 = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const phoffAt = 32;
const phentsizeAt = 54;
const phnumAt = 56;
const ptInterp = 3;

/** Whether a program needs another one, and libraries, to be started: false of what is no ELF file of ours. */
export const isDynamic = async (path: string): Promise<boolean> => {
  const file = await open(path);
  try {
    const head = Buffer.alloc(headBytes);
    const { bytesRead } = await file.read(head, 0, headBytes, 0);
    if (bytesRead < headBytes || !head.subarray(0, elf64.length).equals(elf64)) return false;
    const [size, count] = [head.readUInt16LE(phentsizeAt), head.readUInt16LE(phnumAt)];
    const headers = Buffer.alloc(size * count);
    await file.read(headers, 0, headers.length, Number(head.readBigUInt64LE(phoffAt)));
    return Array.from({ length: count }, (_, index) => headers.readUInt32LE(index * size)).includes(
      ptInterp,
    );
  } finally {
    await file.close();
  }
};
