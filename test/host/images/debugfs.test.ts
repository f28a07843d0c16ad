import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { debugfsCat, debugfsScript, debugfsStat } from '../../../capabilities/images/debugfs.ts';
import type { Executor } from '../../../core/host/executor.ts';
import { DiskWorld } from './support/disk-world.ts';

/** What shells, debugfs and terminals make something of. */
const awkward = Array.from('ab "\'\\#!<>-\t\n;/');

describe('debugfs, the real one', () => {
  let world: DiskWorld;
  let exec: Executor;
  let folder: string;
  let image: string;

  const debugfs = async (...changes: Parameters<typeof debugfsScript>[0]): Promise<void> => {
    const script = join(folder, 'commands');
    await writeFile(script, debugfsScript(changes));
    await exec.run('debugfs', ['-w', '-f', script, image]);
  };
  const ask = async (command: string): Promise<string> =>
    (await exec.run('debugfs', ['-R', command, image])).stdout;
  /** Names in the root folder, as the file system has them. */
  const names = async (): Promise<string[]> =>
    (await ask('ls -p /'))
      .split('\n')
      .flatMap((line) => /^\/\d+\/\d+\/\d+\/\d+\/(.*)\/\d*\/$/s.exec(line)?.[1] ?? [])
      .filter((name) => !['.', '..', 'lost+found'].includes(name));

  beforeEach(async () => {
    world = await DiskWorld.create();
    ({ exec, folder } = world);
    image = join(folder, 'image');
    await writeFile(image, '');
    await truncate(image, 8 * 1024 ** 2);
    await exec.run('mkfs.ext4', ['-q', '-F', image]);
  });
  afterEach(async () => {
    await world.destroy();
  });

  it.each([
    'plain',
    'a b',
    ' at the front',
    'at the end ',
    'a\\b',
    '\\',
    "it's",
    '#comment',
    '!x',
    '-x',
    '$x',
    '%s%n',
    ';',
    '`x`',
    'a<1>',
    'ünïcode ☃',
    // No line ends by it, but to a pattern.
    'a\u2028b',
    'x'.repeat(255),
  ])('writes a folder and a file named %j as they are', async (name) => {
    const source = join(folder, 'source');
    await writeFile(source, 'content\n');
    await debugfs(
      { kind: 'folder', path: `/${name}`, mode: 0o750 },
      { kind: 'file', path: `/${name}/${name}`, source, mode: 0o4711 },
    );
    expect(await names()).toEqual([name]);
    expect(await ask(debugfsCat(`/${name}/${name}`))).toBe('content\n');
    expect(await ask(debugfsStat(`/${name}/${name}`))).toMatch(/Type: regular +Mode: +04711/);
    expect(await ask(debugfsStat(`/${name}/${name}`))).toMatch(/User: +0 +Group: +0/);
    const { stdout } = await exec.run('e2fsck', ['-fn', image]);
    expect(stdout).not.toContain('error');
  });

  it('writes any name that is accepted as that name and as nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
          fc.string({ unit: fc.constantFrom(...awkward), minLength: 1 }),
        ),
        async (name) => {
          const path = `/${name}`;
          try {
            debugfsScript([{ kind: 'folder', path, mode: 0o755 }]);
          } catch {
            return; // refused: the unit test says which
          }
          fc.pre(!name.includes('/'));
          await debugfs({ kind: 'folder', path, mode: 0o755 });
          expect(await names()).toEqual(name === 'lost+found' ? [] : [name]);
          if (name !== 'lost+found')
            await exec.run('debugfs', ['-w', '-R', `rmdir "${path}"`, image]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('replaces a file, and removes one', async () => {
    const first = join(folder, 'first');
    const second = join(folder, 'second');
    await writeFile(first, 'first');
    await writeFile(second, '');
    await debugfs({ kind: 'file', path: '/a', source: first, mode: 0o600 });
    await debugfs({ kind: 'file', path: '/a', source: second, mode: 0o444 });
    expect(await ask(debugfsCat('/a'))).toBe('');
    expect(await ask(debugfsStat('/a'))).toMatch(/Mode: +0444/);
    await debugfs({ kind: 'remove', path: '/a' });
    expect(await names()).toEqual([]);
    await exec.run('e2fsck', ['-fn', image]);
  });

  it('would otherwise take the end of a long line for a command', async () => {
    // What the limit of path lengths is for: without it, a file name removes another file.
    const script = join(folder, 'commands');
    const long = `rm "/${'x'.repeat(8191 - 'rm "/'.length)}`;
    await writeFile(script, `mkdir "/kept"\n${long}rmdir "/kept"\n`);
    await exec.run('debugfs', ['-w', '-f', script, image]);
    expect(await names()).toEqual([]);
  });
});
