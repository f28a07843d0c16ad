import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, encode, encodedSize } from '../../../capabilities/vsock-agent/cobs.ts';

describe('COBS', () => {
  it.each([
    ['', '01'],
    ['00', '0101'],
    ['0000', '010101'],
    ['11220033', '0311220233'],
    ['11000000', '0211010101'],
    ['01'.repeat(254), `ff${'01'.repeat(254)}`],
    ['01'.repeat(255), `ff${'01'.repeat(254)}0201`],
    [`${'01'.repeat(254)}00`, `ff${'01'.repeat(254)}0101`],
  ])('encodes %s', (plain, encoded) => {
    expect(encode(Buffer.from(plain, 'hex')).toString('hex')).toBe(encoded);
    expect(decode(Buffer.from(encoded, 'hex'))?.toString('hex')).toBe(plain);
  });

  it('gives back what it was given, without a zero, in the promised room', () => {
    const zeros = fc.uint8Array({ maxLength: 1200, max: 2 });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 1200 }), zeros), (data) => {
        const encoded = encode(data);
        expect(encoded.includes(0)).toBe(false);
        expect(encoded.length).toBeLessThanOrEqual(encodedSize(data.length));
        expect(decode(encoded)).toEqual(Buffer.from(data));
      }),
    );
  });

  it('never grows or throws on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (data) => {
        expect(decode(data)?.length ?? 0).toBeLessThanOrEqual(data.length);
      }),
    );
  });
});
