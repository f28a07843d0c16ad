import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** bin/ with a bundle of the test's own, tagged as scripts/build.mjs tags it. */
const product = async () => {
  const directory = await tempDir();
  const dist = join(directory, 'dist');
  await cp(join(root, 'bin'), join(directory, 'bin'), { recursive: true });
  await mkdir(dist);
  const bundle = (tag: string, word: string) =>
    writeFile(
      join(dist, 'cli.cjs'),
      `/*${tag.padEnd(16, '0')}*/"use strict";const{join}=require("node:path");` +
        `const say=()=>"${word} "+join("a","b")+" "+process.argv.slice(2);console.log(say());process.exitCode=3;`,
    );
  return {
    directory,
    launcher: join(directory, 'bin', 'banger'),
    cache: join(dist, 'cli.cache'),
    bundle,
  };
};

const run = async (path: string, env: Readonly<Record<string, string>> = {}) => {
  const child = spawn(path, ['x', 'y'], {
    cwd: '/',
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { stdout, stderr, code: child.exitCode };
};
const writeCache = { BANGER_WRITE_CODE_CACHE: '1' };

it('runs the bundle, with and without compiled code, and by a symlink', async () => {
  const { directory, launcher, cache, bundle } = await product();
  await bundle('aa', 'one');
  const expected = { stdout: 'one a/b x,y\n', stderr: '', code: 3 };
  expect(await run(launcher)).toEqual(expected);
  expect(await run(launcher, writeCache)).toEqual(expected);
  expect((await readFile(cache)).toString('latin1', 0, 2)).toBe('aa');
  expect(await run(launcher)).toEqual(expected);
  await symlink(launcher, join(directory, 'banger'));
  expect(await run(join(directory, 'banger'))).toEqual(expected);
});

it('takes no compiled code of another bundle, though it be as long', async () => {
  const { launcher, cache, bundle } = await product();
  await bundle('aa', 'one');
  await run(launcher, writeCache);
  await copyFile(cache, `${cache}.old`);
  await bundle('bb', 'two');
  expect((await run(launcher)).stdout).toBe('two a/b x,y\n');
  await run(launcher, writeCache);
  await bundle('aa', 'one');
  expect((await run(launcher)).stdout).toBe('one a/b x,y\n');
});

it('compiles where the compiled code is damaged', async () => {
  const { launcher, cache, bundle } = await product();
  await bundle('aa', 'one');
  for (const content of [
    '',
    'short',
    `${'aa'.padEnd(16, '0')}${'no compiled code '.repeat(100)}`,
  ]) {
    await writeFile(cache, content);
    expect(await run(launcher)).toEqual({ stdout: 'one a/b x,y\n', stderr: '', code: 3 });
  }
});

it('says what to do where nothing is built', async () => {
  const { launcher } = await product();
  const { stdout, stderr, code } = await run(launcher);
  expect({ stdout, code }).toEqual({ stdout: '', code: 125 });
  expect(stderr).toBe('banger: it is not built yet. Run ./scripts/quickstart, or npm run build.\n');
});
