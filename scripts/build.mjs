// Builds dist/: the daemon with the plugin API, the CLI, and the programs in C.
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
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

/** Tells bundles of the same length apart, which V8 does not where it looks for compiled code. */
const tagged = (/** @type {string} */ code) =>
  `/*${createHash('sha256').update(code).digest('hex').slice(0, 16)}*/${code}`;

/**
 * What is loaded as ES modules: the launcher, the program that restores a database, and `banger/plugin-api` as the
 * tests of a plugin get it. @returns the names that plugins import
 */
const buildModules = async () => {
  const { metafile } = await build({
    ...common,
    entryPoints: {
      daemon: 'daemon/launch.ts',
      restore: 'daemon/restore.ts',
      'plugin-api': 'core/plugin-api/index.ts',
    },
    outdir: staging,
    splitting: true,
    format: 'esm',
    external: apart,
    metafile: true,
    // For packages in CommonJS, which require Node's own modules.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module';const require = requireFrom(import.meta.url);",
    },
  });
  const api = Object.values(metafile.outputs).find(
    ({ entryPoint }) => entryPoint === 'core/plugin-api/index.ts',
  );
  return api?.exports ?? [];
};

/**
 * One file, which Node compiles once for all starts: see daemon/launch.ts. Packages are in it: some 600 files less to
 * find and read, which is a third of the time that the daemon takes to start.
 */
const buildDaemon = async () => {
  const names = await buildModules();
  const { outputFiles } = await build({
    ...common,
    // What it exports is for plugins: their `banger/plugin-api` is the daemon's own, by way of daemon-plugin-api.js.
    stdin: {
      contents: "export * from './core/plugin-api/index.ts'; export * from './daemon/main.ts';",
      resolveDir: root,
    },
    write: false,
    format: 'cjs',
    external: apart,
    define: { 'import.meta.url': 'moduleUrl' },
    // Compiled code that comes from a cache cannot `import()`: Node calls it a missing callback.
    supported: { 'dynamic-import': false },
  });
  writeFileSync(join(staging, 'daemon.cjs'), tagged(outputFiles[0]?.text ?? ''));
  writeFileSync(
    join(staging, 'daemon-plugin-api.js'),
    "import { createRequire } from 'node:module';\n" +
      "const daemon = createRequire(import.meta.url)('./daemon.cjs');\n" +
      `export const { ${names.join(', ')} } = daemon;\n`,
  );
};

/** Names the code that a daemon runs; a CLI of another build replaces the daemon. */
const buildId = () => {
  const digest = createHash('sha256');
  for (const name of [...scripts(staging), 'daemon.cjs'])
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
  writeFileSync(join(staging, 'cli.cjs'), tagged(outputFiles[0]?.text ?? ''));
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
  for (const name of [
    'plugin-api.js',
    'restore.js',
    'daemon.cjs',
    'daemon-plugin-api.js',
    'daemon.js',
    'build-id',
    'cli.cjs',
  ])
    move(name);
  for (const name of scripts(dist)) if (!built.includes(name)) rmSync(join(dist, name));
  // Compiled code for both launchers: parsing is a third of a short command's time, and of a daemon's start.
  const world = mkdtempSync(join(tmpdir(), 'banger-build-'));
  try {
    for (const args of [['--version'], ['vm', 'list'], ['daemon', 'stop']])
      execFileSync(process.execPath, [join(root, 'bin', 'banger'), ...args], {
        env: {
          ...process.env,
          BANGER_WRITE_CODE_CACHE: '1',
          BANGER_CONFIG: join(world, 'config.toml'),
          BANGER_STATE_DIR: join(world, 'state'),
          BANGER_RUNTIME_DIR: join(world, 'runtime'),
        },
        // What they say is in the error of one that fails.
        stdio: ['ignore', 'ignore', 'pipe'],
      });
  } finally {
    rmSync(world, { recursive: true, force: true });
  }
  if (!(await types)) process.exitCode = 1;
} finally {
  rmSync(staging, { recursive: true, force: true });
}
