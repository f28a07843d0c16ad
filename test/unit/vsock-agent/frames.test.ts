import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BODY_MAX,
  encodeFrame,
  FrameDecoder,
  FrameType,
  type Frame,
} from '../../../capabilities/vsock-agent/frames.ts';

function decodeAll(chunks: readonly Uint8Array[]): Frame[] {
  const decoder = new FrameDecoder();
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

/** Cuts at the given places, wherever they fall. */
function cut(data: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (data.length + 1)), data.length].sort(
    (a, b) => a - b,
  );
  return ends.map((end, i) => data.subarray(ends[i - 1] ?? 0, end));
}

const id = fc.uint8Array({ minLength: 8, maxLength: 8 });
const frame = fc.record({
  id,
  type: fc.constantFrom(...Object.values(FrameType)),
  body: fc.uint8Array({ maxLength: 700 }),
});

describe('frames', () => {
  it('survive any chunking', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.nat()), (frames, places) => {
        const wire = Buffer.concat(frames.map((f) => encodeFrame(f.id, f.type, f.body)));
        const expected = frames.map((f) => ({
          id: Buffer.from(f.id),
          type: f.type,
          body: Buffer.from(f.body),
        }));
        expect(decodeAll(cut(wire, places))).toEqual(expected);
      }),
    );
  });

  it('come through after arbitrary bytes and a zero', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        frame,
        fc.array(fc.nat()),
        (junk, f, places) => {
          const wire = Buffer.concat([junk, Buffer.alloc(1), encodeFrame(f.id, f.type, f.body)]);
          const last = decodeAll(cut(wire, places)).at(-1);
          expect(last?.id).toEqual(Buffer.from(f.id));
          expect(last?.body).toEqual(Buffer.from(f.body));
        },
      ),
    );
  });

  it('of the largest size pass; a longer one is dropped and the next one is not', () => {
    const largest = encodeFrame(Buffer.alloc(8, 1), FrameType.stdout, Buffer.alloc(BODY_MAX, 7));
    const endless = Buffer.alloc(100_000, 7);
    const frames = decodeAll([largest, endless, Buffer.alloc(1), largest]);
    expect(frames.map((f) => f.body.length)).toEqual([BODY_MAX, BODY_MAX]);
    expect(() => encodeFrame(Buffer.alloc(8), FrameType.stdin, Buffer.alloc(BODY_MAX + 1))).toThrow(
      RangeError,
    );
  });
});
