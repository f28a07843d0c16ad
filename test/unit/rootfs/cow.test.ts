import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cowBytes, reviveCow } from '../../../capabilities/rootfs/cow.ts';
import { cowUse } from '../../../capabilities/rootfs/watch-cow.ts';
import { tempDir } from '../../support/temp-dir.ts';

const gib = 1024 ** 3;

describe('a COW file', () => {
  it('has room for each chunk of the disk, and for where they are', () => {
    // drivers/md/dm-snap-persistent.c: one chunk of header, and one of 256 exceptions for each 256 chunks.
    const chunks = (8 * gib) / 4096;
    expect(cowBytes(8 * gib)).toBeGreaterThanOrEqual((1 + chunks + chunks / 256) * 4096);
    expect(cowBytes(8 * gib)).toBeLessThan(8.1 * gib);
  });

  const header = (valid: number): Buffer => {
    const bytes = Buffer.alloc(4096);
    bytes.write('SnAp', 'latin1');
    bytes.writeUInt32LE(valid, 4);
    bytes.writeUInt32LE(1, 8);
    bytes.writeUInt32LE(8, 12);
    return bytes;
  };

  it.each([
    ['that the kernel gave up is valid again', header(0), true, header(1)],
    ['that is valid stays as it is', header(1), false, header(1)],
    ['that is new stays as it is', Buffer.alloc(4096), false, Buffer.alloc(4096)],
  ])('%s', async (_, before, wasFull, after) => {
    const folder = await tempDir();
    const path = join(folder, 'root.cow');
    await writeFile(path, before);
    expect(await reviveCow(path, folder)).toBe(wasFull);
    expect(await readFile(path)).toEqual(after);
  });
});

describe('the use of a COW file', () => {
  const of = (usedBytes: number, free: number) =>
    cowUse({ usedBytes, totalBytes: 8 * gib, invalid: false }, free, '/s/rootfs', 'box');

  it.each([
    [gib, 7 * gib, undefined],
    [3 * gib, gib, undefined],
    [4 * gib, gib, 'cow-80'],
    [7 * gib, 100 * gib, 'cow-80'],
    [0, 0, 'cow-80'],
  ] as const)('of %d bytes with %d free on the host is %s', (used, free, condition) => {
    expect(of(used, free).condition).toBe(condition);
  });

  it('that is lost names the folder and the command', () => {
    const { condition, detail } = cowUse({ invalid: true }, 0, '/s/rootfs', 'box');
    expect(condition).toBe('cow-full');
    expect(detail).toMatch(/free some space in \/s\/rootfs.*banger vm restart box/);
  });
});
