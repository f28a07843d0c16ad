// Builds dist/: the daemon with the plugin API, the CLI, and the programs in C.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** @satisfies {import('esbuild').BuildOptions} */
const common = /** @type {const} */ ({
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});

const programs = /** @type {const} */ ([
  ['capabilities/vsock-agent/guest', 'guest', 'agent'],
  ['capabilities/qemu/native', 'qemu', 'tsc-khz'],
]);

mkdirSync(dist, { recursive: true });
// What an earlier build named otherwise must not stay: the build id is over all of it.
for (const name of readdirSync(dist)) {
  if (/\.(js|cjs|cache|map)$/.test(name)) rmSync(join(dist, name));
}

// What a plugin's author gets for `banger/plugin-api`; the slowest part, so beside the others.
rmSync(join(dist, 'types'), { recursive: true, force: true });
const types = promisify(execFile)(process.execPath, [
  join(root, 'node_modules/typescript/bin/tsc'),
  '-p',
  join(root, 'tsconfig.build.json'),
]).catch((/** @type {{ stdout: string }} */ error) => error);

for (const [source, folder] of programs)
  execFileSync('make', ['-s', '-C', join(root, source), `OUT=${join(dist, folder)}`], {
    stdio: 'inherit',
  });

// One graph with shared chunks, so that a plugin's `banger/plugin-api` is the daemon's own.
await build({
  ...common,
  entryPoints: { daemon: 'daemon/main.ts', 'plugin-api': 'core/plugin-api/index.ts' },
  outdir: dist,
  splitting: true,
  format: 'esm',
  packages: 'external',
});

/** Names the code that a daemon runs; a CLI of another build replaces the daemon. */
const digest = createHash('sha256');
for (const name of readdirSync(dist)
  .filter((each) => each.endsWith('.js'))
  .sort())
  digest.update(name).update(readFileSync(join(dist, name)));
for (const [, folder, program] of programs)
  digest.update(readFileSync(join(dist, folder, program)));
const buildId = digest.digest('hex').slice(0, 16);
writeFileSync(join(dist, 'build-id'), `${buildId}\n`);

await build({
  ...common,
  entryPoints: ['cli/main.ts'],
  outfile: join(dist, 'cli.cjs'),
  format: 'cjs',
  minifySyntax: true,
  minifyWhitespace: true,
  define: {
    __BANGER_BUILD_ID__: JSON.stringify(buildId),
    __BANGER_VERSION__: JSON.stringify(version),
  },
});
// Compiled code for the launcher: parsing is a third of a short command's time.
execFileSync(process.execPath, [join(root, 'bin', 'banger'), '--version'], {
  env: { ...process.env, BANGER_WRITE_CODE_CACHE: '1' },
  stdio: ['ignore', 'ignore', 'inherit'],
});

const failed = await types;
if (failed instanceof Error) {
  process.stderr.write(`the types of banger/plugin-api:\n${failed.stdout}`);
  process.exitCode = 1;
}
