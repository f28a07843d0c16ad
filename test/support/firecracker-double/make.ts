import { access, chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { kernelsIn, letThrough } from './folder.ts';

const repository = join(import.meta.dirname, '..', '..', '..');

export interface DoubleOptions {
  /** `1.10.1`: what that release does not know is refused. */
  readonly version?: string;
  /** It is gone by SIGKILL in the middle of InstanceStart. */
  readonly diesAtStart?: boolean;
}

const sources = 'test/support/firecracker-double';
const jailerBundleIn = (folder: string): string => join(folder, 'jailer.mjs');
const bundleIn = (folder: string): string => join(folder, 'double.mjs');

const tscToolIn = (folder: string): string => join(folder, 'tsc-khz');

/** Bundles it into a folder, with what else it needs: it runs as a user who sees no more than everybody. */
export const buildDouble = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true });
  await letThrough(folder);
  await copyFile(join(repository, 'dist', 'qemu', 'tsc-khz'), tscToolIn(folder));
  await build({
    absWorkingDir: repository,
    entryPoints: { double: `${sources}/main.ts`, jailer: `${sources}/jailer.ts` },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
    // ajv is CommonJS.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
};

/** @returns the path of an executable `firecracker`, in the folder that it was built in */
export const doubleIn = async (
  folder: string,
  { version, diesAtStart = false }: DoubleOptions = {},
): Promise<string> => {
  await access(bundleIn(folder));
  const path = join(folder, `firecracker-${version ?? 'now'}${diesAtStart ? '-dies' : ''}`);
  const own = [
    ...['--tsc-tool', tscToolIn(folder), '--kernels', kernelsIn(folder)],
    ...(version === undefined ? [] : ['--version', version]),
    ...(diesAtStart ? ['--dies-at-start'] : []),
  ];
  const words = [process.execPath, bundleIn(folder), ...own].map((word) => `'${word}'`);
  await writeFile(path, `#!/bin/sh\nexec ${words.join(' ')} -- "$@"\n`);
  await chmod(path, 0o755);
  return path;
};

/**
 * In the shell, for Node becomes no other program: and a jailer is the same process as its Firecracker.
 * Its arguments begin with `--id NAME`, and what follows `--` is Firecracker's.
 */
const jailerScript = (check: string): string => `#!/bin/sh
told=$(${check} "$@")
code=$?
if [ $code = 3 ]; then echo "$told"; exit 0; fi
if [ $code != 0 ]; then exit $code; fi
id=$2
while [ "$1" != -- ]; do shift; done
shift
line() { echo "$told" | sed -n "$1p"; }
cd "$(line 1)" || exit 1
exec setpriv --reuid "$(line 2)" --regid "$(line 3)" --clear-groups -- "./$(line 4)" --id "$id" \
  --start-time-us 1 --start-time-cpu-us 1 --parent-cpu-time-us 1 "$@"
`;

/** @returns the path of an executable `jailer` for the doubles of that folder */
export const jailerIn = async (folder: string): Promise<string> => {
  const path = join(folder, 'jailer-now');
  const words = [process.execPath, jailerBundleIn(folder)].map((word) => `'${word}'`);
  await writeFile(path, jailerScript(words.join(' ')));
  await chmod(path, 0o755);
  return path;
};
