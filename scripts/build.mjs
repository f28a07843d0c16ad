// Builds dist/: the daemon with the plugin API, the CLI, and the programs in C.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
/** What is built here moves to dist/ when it is whole: whoever runs meanwhile has one build or the other. */
const staging = join(dist, `.staging-${process.pid}`);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const run = promisify(execFile);

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
  ['core/host/native', 'host', 'kvm-check'],
  ['core/vmm/process/native', 'vmm', 'bounded-output'],
]);

/** Programs and types change seldom, and make's objects stay for the next build: these are made in place. */
const buildPrograms = () => {
  for (const [source, folder, program] of programs) {
    const out = join(dist, folder);
    execFileSync('make', ['-s', '-C', join(root, source), `OUT=${out}`, join(out, program)], {
      stdio: 'inherit',
    });
  }
};

/** What a plugin's author gets for `banger/plugin-api`; the slowest part, so beside the others. */
const buildTypes = async () => {
  const types = join(staging, 'types');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const options = ['-p', join(root, 'tsconfig.build.json'), '--outDir', types];
  try {
    await run(process.execPath, [tsc, ...options]);
  } catch (error) {
    const { stdout } = /** @type {{ stdout: string }} */ (error);
    process.stderr.write(`the types of banger/plugin-api:\n${stdout}`);
    return false;
  }
  rmSync(join(dist, 'types'), { recursive: true, force: true });
  renameSync(types, join(dist, 'types'));
  return true;
};

/** Compiled for this machine by npm; and ssh2, which looks for files beside its own, and is loaded by `vm ssh` alone. */
const apart = ['better-sqlite3', 'fs-ext', 'ssh2'];

/**
 * One graph with shared chunks, so that a plugin's `banger/plugin-api` is the daemon's own. Packages are in it: some
 * 600 files less to find and read, which is a third of the time that the daemon takes to start.
 */
const buildDaemon = () =>
  build({
    ...common,
    entryPoints: {
      daemon: 'daemon/main.ts',
      restore: 'daemon/restore.ts',
      'plugin-api': 'core/plugin-api/index.ts',
    },
    outdir: staging,
    splitting: true,
    format: 'esm',
    external: apart,
    // For packages in CommonJS, which require Node's own modules.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module';const require = requireFrom(import.meta.url);",
    },
  });

/** Names the code that a daemon runs; a CLI of another build replaces the daemon. */
const buildId = () => {
  const digest = createHash('sha256');
  for (const name of scripts(staging))
    digest.update(name).update(readFileSync(join(staging, name)));
  for (const [, folder, program] of programs)
    digest.update(readFileSync(join(dist, folder, program)));
  return digest.digest('hex').slice(0, 16);
};

const buildCli = async (/** @type {string} */ id) => {
  const { outputFiles } = await build({
    ...common,
    entryPoints: ['cli/main.ts'],
    write: false,
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    define: {
      __BANGER_BUILD_ID__: JSON.stringify(id),
      __BANGER_VERSION__: JSON.stringify(version),
    },
  });
  const code = outputFiles[0]?.text ?? '';
  // The tag by which bin/banger knows compiled code for this bundle: V8 compares no more than lengths.
  const tag = createHash('sha256').update(code).digest('hex').slice(0, 16);
  writeFileSync(join(staging, 'cli.cjs'), `/*${tag}*/${code}`);
};

const scripts = (/** @type {string} */ folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .sort();

const move = (/** @type {string} */ name) => {
  renameSync(join(staging, name), join(dist, name));
};

mkdirSync(staging, { recursive: true });
try {
  const types = buildTypes();
  buildPrograms();
  await buildDaemon();
  const id = buildId();
  writeFileSync(join(staging, 'build-id'), `${id}\n`);
  await buildCli(id);

  // Chunks before what imports them, and the CLI last: what it asks for is then there.
  const built = scripts(staging);
  for (const name of built.filter((each) => each.startsWith('chunk-'))) move(name);
  for (const name of ['plugin-api.js', 'restore.js', 'daemon.js', 'build-id', 'cli.cjs'])
    move(name);
  for (const name of scripts(dist)) if (!built.includes(name)) rmSync(join(dist, name));
  // Compiled code for the launcher: parsing is a third of a short command's time.
  execFileSync(process.execPath, [join(root, 'bin', 'banger'), '--version'], {
    env: { ...process.env, BANGER_WRITE_CODE_CACHE: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (!(await types)) process.exitCode = 1;
} finally {
  rmSync(staging, { recursive: true, force: true });
}
