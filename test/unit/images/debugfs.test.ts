import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { debugfsScript } from '../../../capabilities/images/debugfs.ts';

const refused = expect.objectContaining({ code: 'IMAGE_BUILD_FAILED' }) as Error;
const folder = (path: string): string => debugfsScript([{ kind: 'folder', path, mode: 0o755 }]);

describe('debugfsScript', () => {
  it.each([
    ['a line break', '/a\nrm /etc/passwd'],
    ['a carriage return, which debugfs cuts at', '/a\rb'],
    ['a quote', '/a" "/etc/passwd'],
    ['a doubled quote', '/a""b'],
    ['NUL', '/a\0b'],
    ['a tab', '/a\tb'],
    ['DEL', '/a\u007f'],
    ['an inode number', '/<2>'],
    ['the parent folder', '/a/../b'],
    ['the folder itself', '/a/./b'],
    ['an empty part', '/a//b'],
    ['nothing', ''],
    ['the root', '/'],
    ['a relative path', 'a'],
    ['a lone surrogate', '/\ud800'],
    ['a name beyond NAME_MAX', `/${'x'.repeat(256)}`],
    ['a path whose rest would be the next line', `/${'x'.repeat(200)}`.repeat(41)],
  ])('refuses %s', (_, path) => {
    expect(() => folder(path)).toThrow(refused);
    expect(() => debugfsScript([{ kind: 'remove', path }])).toThrow(refused);
    expect(() =>
      debugfsScript([{ kind: 'file', path, source: '/tmp/source', mode: 0o644 }]),
    ).toThrow(refused);
    expect(() => debugfsScript([{ kind: 'file', path: '/a', source: path, mode: 0o644 }])).toThrow(
      refused,
    );
  });

  it('writes nothing at all when one of several names is refused', () => {
    expect(() =>
      debugfsScript([
        { kind: 'remove', path: '/fine' },
        { kind: 'remove', path: '/a\nb' },
      ]),
    ).toThrow(refused);
  });

  it('keeps every accepted name inside one line and one pair of quotes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (name) => {
        let script: string;
        try {
          script = debugfsScript([{ kind: 'remove', path: `/${name}` }]);
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        expect(script).toBe(`rm "/${name}"\n`);
        expect(script.match(/[\r\n"]/g)).toEqual(['"', '"', '\n']);
      }),
    );
  });

  it('keeps every line shorter than the buffer that debugfs reads it into', () => {
    const path = `/${Array.from({ length: 15 }, () => 'x'.repeat(250)).join('/')}`;
    const script = debugfsScript([{ kind: 'file', path, source: path, mode: 0o644 }]);
    for (const line of script.split('\n')) expect(Buffer.byteLength(line)).toBeLessThan(8191);
  });

  it('gives the root folder a mode, and nothing but that', () => {
    expect(debugfsScript([{ kind: 'root', mode: 0o700 }])).toBe(
      'sif / mode 040700\nsif / uid 0\nsif / gid 0\n',
    );
  });

  it('gives mode and owner, which debugfs takes from the caller otherwise', () => {
    expect(folder('/etc/x').split('\n')).toEqual([
      'mkdir "/etc/x"',
      'sif "/etc/x" mode 040755',
      'sif "/etc/x" uid 0',
      'sif "/etc/x" gid 0',
      '',
    ]);
  });
});
