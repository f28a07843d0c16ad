import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const repository = join(import.meta.dirname, '..', '..', '..');

export interface DoubleOptions {
  /** `1.10.1`: what that release does not know is refused. */
  readonly version?: string;
  /** It is gone by SIGKILL in the middle of InstanceStart. */
  readonly diesAtStart?: boolean;
}

const bundleIn = (folder: string): string => join(folder, 'double.mjs');

/** Bundles it into a folder. */
export const buildDouble = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: repository,
    entryPoints: ['test/support/firecracker-double/main.ts'],
    outfile: bundleIn(folder),
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
    '--tsc-tool',
    join(repository, 'dist', 'qemu', 'tsc-khz'),
    ...(version === undefined ? [] : ['--version', version]),
    ...(diesAtStart ? ['--dies-at-start'] : []),
  ];
  const words = [process.execPath, bundleIn(folder), ...own].map((word) => `'${word}'`);
  await writeFile(path, `#!/bin/sh\nexec ${words.join(' ')} -- "$@"\n`);
  await chmod(path, 0o755);
  return path;
};
