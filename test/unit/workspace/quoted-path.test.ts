import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unquotePath } from '../../../capabilities/workspace/quoted-path.ts';

const letters: Readonly<Record<number, string>> = {
  7: 'a',
  8: 'b',
  9: 't',
  10: 'n',
  11: 'v',
  12: 'f',
  13: 'r',
  34: '"',
  92: '\\',
};

const isPlain = (byte: number): boolean =>
  letters[byte] === undefined && byte >= 0x20 && byte < 0x7f;

/** As git's quote.c does with core.quotePath=true. */
const quoteAsGit = (bytes: Uint8Array): string => {
  const text = [...bytes].map((byte) =>
    isPlain(byte)
      ? String.fromCharCode(byte)
      : `\\${letters[byte] ?? byte.toString(8).padStart(3, '0')}`,
  );
  return bytes.every(isPlain) ? text.join('') : `"${text.join('')}"`;
};

describe('paths as git prints them', () => {
  it('come back as the bytes that they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes) => {
        expect([...unquotePath(quoteAsGit(bytes))]).toEqual([...bytes]);
      }),
    );
  });

  it('are refused where git never prints such a thing, and never read past their end', () => {
    for (const text of ['"', '"a', '"\\', '"\\"', '"\\q"', '"\\40"', '"\\777"', '"\\1'])
      expect(() => unquotePath(text), text).toThrow('no path');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          unquotePath(`"${text}`);
        } catch (error) {
          expect(String(error)).toContain('no path of git');
        }
      }),
    );
  });
});
