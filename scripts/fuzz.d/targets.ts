import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError } from '../../core/errors.ts';
import type { Executor } from '../../core/host/executor.ts';

const root = join(import.meta.dirname, '..', '..');
const sources = join(root, 'test', 'fuzz', 'agent');

/** Below it: what people's runs have built and learnt, and the inputs that failed. In .gitignore. */
export const fuzzFolder = join(root, '.fuzz');

/** A target is a file; the inputs that it begins with are a folder of that name. */
export const targetNames = async (): Promise<string[]> =>
  (await readdir(join(sources, 'targets')))
    .filter((name) => name.endsWith('.c'))
    .map((name) => name.slice(0, -2))
    .sort();

export const seedsOf = (target: string): string => join(sources, 'corpus', target);

export interface BuildOptions {
  readonly exec: Executor;
  readonly signal?: AbortSignal;
  /** With the defect that the fuzzers must find. */
  readonly defect?: boolean;
}

const buildTimeoutMs = 300_000;

/** Each target as a program in `folder`. */
export const buildTargets = async (
  targets: readonly string[],
  folder: string,
  { exec, signal, defect = false }: BuildOptions,
): Promise<void> => {
  await exec.require('clang', 'make');
  const options = { timeoutMs: buildTimeoutMs, ...(signal === undefined ? {} : { signal }) };
  const args = ['-s', '-j2', '-C', sources, `OUT=${folder}`, `TARGETS=${targets.join(' ')}`];
  await exec.run('make', defect ? [...args, 'DEFECT=1'] : args, options).catch((error: unknown) => {
    // Debian has clang's runtime in a package of its own.
    if (!String(error).includes('libclang_rt')) throw error;
    throw new BangerError('TOOL_MISSING', 'clang has no libFuzzer here', {
      cause: error,
      remedy: 'Install it: sudo apt-get install libclang-rt-dev',
    });
  });
};
