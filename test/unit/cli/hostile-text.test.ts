import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PinoRenderer } from '../../../cli/logs/render-pino.ts';
import { SequenceStripper } from '../../../cli/logs/strip-sequences.ts';
import { plainLine } from '../../../cli/render/plain-text.ts';

// C0 without tab and newline, DEL, C1: what a terminal would act upon.
const forbidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

/** What a guest writes to its console to take a terminal over, among other bytes. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom('\u001b[', '\u001b]0;', '\u001bP', '\u001b\\', '\u009b', '\u009d', '\u0007'),
      fc.constantFrom('\u001b', '\r', '\b', '31m', '2J', 'title', 'ä', '\u009c', '\n', '\t', '😀'),
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.string({ maxLength: 8 }),
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.from(parts.join('')));
const bytes = fc.oneof(
  hostile,
  fc.uint8Array({ maxLength: 200 }).map((data) => Buffer.from(data)),
);

const strip = (chunks: readonly Buffer[]): string => {
  const stripper = new SequenceStripper();
  return chunks.map((chunk) => stripper.push(chunk)).join('');
};

const cut = (data: Buffer, places: readonly number[]): Buffer[] => {
  const at = [...places.map((place) => place % (data.length + 1)), data.length].sort(
    (a, b) => a - b,
  );
  return at.map((end, index) => data.subarray(at[index - 1] ?? 0, end));
};

describe('text of a guest', () => {
  it('has nothing in it that a terminal acts upon, however it is cut', () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat()), (data, places) => {
        const whole = strip([data]);
        expect(whole).not.toMatch(forbidden);
        expect(strip(cut(data, places))).toBe(whole);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is left alone where it is plain', () => {
    const plain = fc.string({
      unit: fc.constantFrom('a', 'Z', '~', ' ', '\t', '\n', 'ä', '😀', '['),
    });
    fc.assert(
      fc.property(plain, (text) => {
        expect(strip([Buffer.from(text)])).toBe(text);
      }),
    );
  });

  it('is one harmless line in a message', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const line = plainLine(text);
        expect(line).not.toMatch(forbidden);
        expect(line).not.toContain('\n');
      }),
      { numRuns: 1_000 },
    );
  });

  it('is harmless in the daemon’s log', () => {
    const entry = fc.record({ time: fc.jsonValue(), level: fc.jsonValue(), msg: fc.jsonValue() });
    // What has broken it before.
    const odd = fc.constantFrom({ toString: 0 }, { toJSON: 1 }, -8640000000000001, null, [[]]);
    const oddEntry = fc.record({ time: odd, level: odd, msg: odd, extra: odd });
    const logged = fc.oneof(
      bytes,
      fc.oneof(entry, oddEntry).map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
      fc.string({ unit: 'binary' }).map((msg) => Buffer.from(`${JSON.stringify({ msg })}\n`)),
    );
    fc.assert(
      fc.property(fc.array(logged, { maxLength: 4 }), fc.array(fc.nat()), (parts, places) => {
        const renderer = new PinoRenderer();
        const chunks = cut(Buffer.concat(parts), places);
        expect(chunks.map((chunk) => renderer.push(chunk)).join('')).not.toMatch(forbidden);
      }),
      { numRuns: 1_000 },
    );
  });
});
