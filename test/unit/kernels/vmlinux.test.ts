import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findPayload } from '../../../capabilities/kernels/vmlinux.ts';
import { BangerError } from '../../../core/errors.ts';

const lz4Magic = Buffer.from([0x02, 0x21, 0x4c, 0x18]);

interface Layout {
  readonly setupSects: number;
  readonly offset: number;
  readonly length: number;
  readonly version: number;
}

/** A bzImage with `payload` in its place, unless the header is told to lie. */
const bzImage = (payload: Buffer, told: Partial<Layout> = {}): Buffer => {
  const layout = { setupSects: 3, offset: 16, length: payload.length, version: 0x20f, ...told };
  const start = ((layout.setupSects || 4) + 1) * 512 + 16;
  const image = Buffer.alloc(start + payload.length);
  image.writeUInt8(layout.setupSects, 0x1f1);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(layout.version, 0x206);
  image.writeUInt32LE(layout.offset, 0x248);
  image.writeUInt32LE(layout.length, 0x24c);
  payload.copy(image, start);
  return image;
};

const refusal = (image: Buffer): string => {
  try {
    findPayload(image);
  } catch (error) {
    if (error instanceof BangerError) return error.code;
    throw error;
  }
  return 'accepted';
};

describe('the payload of a bzImage', () => {
  const size = Buffer.from([1, 0, 0, 0]);

  it('is found, without the size behind it', () => {
    const packed = Buffer.concat([lz4Magic, Buffer.from('kernel')]);
    const found = findPayload(bzImage(Buffer.concat([packed, size])));
    expect(found.compression).toBe('lz4');
    expect(found.payload.equals(packed)).toBe(true);
  });

  it('keeps its end where it is gzip, which has the size inside', () => {
    const packed = gzipSync('kernel');
    expect(findPayload(bzImage(packed)).payload.equals(packed)).toBe(true);
  });

  it('is behind four sectors where the header says none (boot.rst)', () => {
    const packed = gzipSync('kernel');
    expect(findPayload(bzImage(packed, { setupSects: 0 })).payload.equals(packed)).toBe(true);
  });

  it.each([
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]],
  ])('is told by its first bytes: %s', (compression, bytes) => {
    expect(findPayload(bzImage(Buffer.from(bytes))).compression).toBe(compression);
  });

  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['an ELF', Buffer.from('\x7fELF'.padEnd(1000, '\0'), 'latin1')],
    ['a header cut before the payload’s length', bzImage(gzipSync('x')).subarray(0, 0x24f)],
    ['a protocol that has no payload', bzImage(gzipSync('x'), { version: 0x207 })],
    ['a payload that goes past the end', bzImage(gzipSync('x'), { length: 4096 })],
    ['a place past the end', bzImage(gzipSync('x'), { offset: 0xffffffff })],
    ['a payload of three bytes', bzImage(Buffer.from([0x1f, 0x8b, 8]))],
    ['bytes of no known compression', bzImage(Buffer.from('plain kernel'))],
  ])('is not found in %s', (_what, image) => {
    expect(refusal(image)).toBe('KERNEL_UNKNOWN');
  });

  it('is refused, by name, whatever a header says', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.nat({ max: 0xffffffff }),
        fc.nat({ max: 0xffffffff }),
        fc.nat({ max: 255 }),
        (rest, offset, length, setupSects) => {
          const image = bzImage(Buffer.from(rest), { offset, length, setupSects });
          expect(['KERNEL_UNKNOWN', 'accepted']).toContain(refusal(image));
        },
      ),
    );
  });

  it('is refused wherever the file is cut', () => {
    const whole = bzImage(Buffer.concat([lz4Magic, Buffer.alloc(100), size]));
    for (let end = 0; end < whole.length; end += 7)
      expect(refusal(whole.subarray(0, end))).toBe('KERNEL_UNKNOWN');
  });
});
