import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assertBootable } from '../../../capabilities/firecracker/kernel-format.ts';

describe('a kernel for Firecracker', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-kernel-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const kernel = async (content: Buffer): Promise<string> => {
    const path = join(folder, 'kernel');
    await writeFile(path, content);
    return path;
  };
  const elf = (bits: 1 | 2, machine: number): Buffer => {
    const head = Buffer.alloc(4096);
    head.set([0x7f, 0x45, 0x4c, 0x46, bits, 1, 1]);
    head.writeUInt16LE(machine, 18);
    return head;
  };

  it('is an ELF file of x86-64', async () => {
    await expect(assertBootable(await kernel(elf(2, 62)))).resolves.toBeUndefined();
  });

  it('is not packed, and how it is unpacked is told', async () => {
    const bzImage = Buffer.alloc(4096);
    bzImage.write('MZ');
    bzImage.write('HdrS', 0x202);
    await expect(assertBootable(await kernel(bzImage))).rejects.toMatchObject({
      code: 'KERNEL_UNKNOWN',
      message: expect.stringMatching(/kernel is a bzImage/) as string,
      remedy: expect.stringMatching(/extract-vmlinux .*kernel$/) as string,
    });
  });

  it.each([
    ['of another CPU', elf(2, 183), /for another CPU/],
    ['of 32 bits', elf(1, 3), /is no kernel that/],
    ['something else', Buffer.from('#!/bin/sh\n'), /is no kernel that/],
    ['cut off', elf(2, 62).subarray(0, 18), /for another CPU/],
    ['empty', Buffer.alloc(0), /is no kernel that/],
  ])('is refused where it is %s', async (_what, content, message) => {
    await expect(assertBootable(await kernel(content))).rejects.toMatchObject({
      code: 'KERNEL_UNKNOWN',
      message: expect.stringMatching(message) as string,
    });
  });
});
