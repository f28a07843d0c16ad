import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';

const source = join(import.meta.dirname, '..', '..', '..', 'daemon', 'launch.ts');

/** dist/daemon.js with a bundle of the test's own, tagged as scripts/build.mjs tags it. */
const product = async () => {
  const directory = await tempDir();
  const dist = join(directory, 'dist');
  await mkdir(dist);
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  const launcher = join(dist, 'daemon.js');
  await build({
    entryPoints: [source],
    outfile: launcher,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
  await writeFile(
    join(dist, 'plugin.mjs'),
    "import { createRequire } from 'node:module';\n" +
      "export const same = createRequire(import.meta.url)('./daemon.cjs').shared;\n",
  );
  const bundle = (tag: string, word: string) =>
    writeFile(
      join(dist, 'daemon.cjs'),
      `/*${tag.padEnd(16, '0')}*/"use strict";const{basename}=require("node:path");` +
        `exports.shared={};exports.main=(load)=>{load(new URL("plugin.mjs",moduleUrl).href)` +
        `.then(({same})=>console.log("${word}",basename(__filename),same===exports.shared))}`,
    );
  return { launcher, cache: join(dist, 'daemon.cache'), bundle };
};

const run = async (
  path: string,
  env: Readonly<Record<string, string>> = {},
  flags: string[] = [],
) => promisify(execFile)(process.execPath, [...flags, path], { env, cwd: '/' });
const writeCache = { BANGER_WRITE_CODE_CACHE: '1' };
const said = (word: string) => ({ stdout: `${word} daemon.cjs true\n`, stderr: '' });

it('runs the bundle with and without compiled code, and a plugin has what the daemon has', async () => {
  const { launcher, cache, bundle } = await product();
  await bundle('aa', 'one');
  expect(await run(launcher)).toEqual(said('one'));
  expect(await run(launcher, writeCache)).toEqual(said('one'));
  expect((await readFile(cache)).toString('latin1', 0, 2)).toBe('aa');
  expect(await run(launcher)).toEqual(said('one'));
  // V8 rejects what was compiled under other flags.
  expect(await run(launcher, {}, ['--max-lazy'])).toEqual(said('one'));
});

it('takes no compiled code of another bundle, though it be as long', async () => {
  const { launcher, bundle } = await product();
  await bundle('aa', 'one');
  await run(launcher, writeCache);
  await bundle('bb', 'two');
  expect(await run(launcher)).toEqual(said('two'));
  await run(launcher, writeCache);
  await bundle('aa', 'one');
  expect(await run(launcher)).toEqual(said('one'));
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
    expect(await run(launcher)).toEqual(said('one'));
  }
});
