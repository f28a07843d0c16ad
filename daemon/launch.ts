import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import type { main } from './main.ts';

// dist/daemon.js: runs dist/daemon.cjs from V8's code cache, without which a third of the daemon's start is
// compiling. As bin/banger does for the CLI; Node 20 has no cache for ES modules.

/** What the bundle is a function of; see `define` in scripts/build.mjs. */
type Bundle = (
  exports: unknown,
  require: NodeJS.Require,
  module: NodeJS.Module,
  filename: string,
  dirname: string,
  moduleUrl: string,
) => void;

const dist = dirname(fileURLToPath(import.meta.url));
const bundle = join(dist, 'daemon.cjs');
const cache = join(dist, 'daemon.cache');

/** Undefined where there is none: then it takes longer, and that is all. */
const readCache = (): Buffer | undefined => {
  try {
    return readFileSync(cache);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

// esbuild writes ASCII, and this is the quickest to read.
const source = readFileSync(bundle, 'latin1');
// The bundle begins with its tag in a comment, the cache with the same: V8 itself rejects what another Node or other
// flags compiled, but takes what was compiled from another source of the same length.
const tagLength = 16;
const tag = source.slice(2, 2 + tagLength);
const cached = readCache();
const isOurs = cached?.toString('latin1', 0, tagLength) === tag;
const script = new Script(
  `(function (exports, require, module, __filename, __dirname, moduleUrl) {${source}\n})`,
  {
    filename: bundle,
    ...(isOurs ? { cachedData: cached.subarray(tagLength) } : {}),
  },
);
const require = createRequire(bundle);
const module = new Module(bundle);
// By this name dist/daemon-plugin-api.js finds what this very daemon is made of.
require.cache[bundle] = module;
const load = script.runInThisContext() as Bundle;
load(module.exports, require, module, bundle, dist, pathToFileURL(bundle).href);
const program = module.exports as { readonly main: typeof main };
const { cachedDataRejected } = script;
const codeCache =
  cachedDataRejected === undefined ? 'none' : cachedDataRejected ? 'rejected' : 'used';
program.main((url) => import(url), codeCache);

if (process.env['BANGER_WRITE_CODE_CACHE'] === '1')
  process.on('exit', () => {
    const partial = `${cache}.${String(process.pid)}`;
    writeFileSync(partial, Buffer.concat([Buffer.from(tag, 'latin1'), script.createCachedData()]));
    renameSync(partial, cache);
  });
