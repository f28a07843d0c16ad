import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z, type Executor } from '../../core/plugin-api/index.ts';
import type { TapPoolObserved } from './identity.ts';

export interface BatchContext {
  readonly exec: Executor;
  readonly directory: string;
  /** The claim's: its cleanup removes a file that a killed daemon left. */
  readonly token: string;
}

export const batchPath = (directory: string, token: string): string =>
  join(directory, `batch-${token}`);

/**
 * Several `ip` commands in one process; it stops at the first that fails. They go by file, because a
 * helper's standard input is the helpers lock. Resolves to what `show` commands among them print.
 */
export const runIpBatch = async (
  lines: readonly string[],
  { exec, directory, token }: BatchContext,
  signal?: AbortSignal,
): Promise<string> => {
  const path = batchPath(directory, token);
  await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o600 });
  try {
    const { stdout } = await exec.run('ip', ['-j', '-batch', path], {
      privileged: true,
      ...(signal === undefined ? {} : { signal }),
    });
    return stdout;
  } finally {
    await rm(path, { force: true });
  }
};

const shown = z.tuple([z.object({ ifindex: z.int() })]);

/** As `runIpBatch`, and what became of the device. */
export const makeDevice = async (
  name: string,
  lines: readonly string[],
  context: BatchContext,
  signal?: AbortSignal,
): Promise<TapPoolObserved> => {
  const stdout = await runIpBatch([...lines, `link show dev ${name}`], context, signal);
  const [{ ifindex }] = shown.parse(JSON.parse(stdout));
  return { ifindex };
};
