import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from '../../core/plugin-api/index.ts';
import { parseSaved, restoreInput, type Change, type SavedRule } from './rules.ts';

export interface RestoreContext {
  readonly exec: Executor;
  readonly directory: string;
  /** The claim's: the file with its rules stays as long as it does. */
  readonly token: string;
}

export const restorePath = (directory: string, token: string): string =>
  join(directory, `rules-${token}`);

/** All rules that carry a comment, in one process; it needs root even to look. */
export const savedRules = async (exec: Executor): Promise<SavedRule[]> => {
  const { stdout } = await exec.run('iptables-save', [], { privileged: true });
  return parseSaved(stdout);
};

/** Seconds to wait for whoever else changes rules now (iptables-legacy has one lock for all). */
const lockSeconds = '10';

/**
 * Over what is there: rules are taken away by the file that they were made by, so that it works on a disk without room,
 * where to delete VMs is what helps.
 */
const writeInPlace = async (path: string, text: string): Promise<void> => {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const { bytesWritten } = await file.write(text, 0);
    await file.truncate(bytesWritten);
  } finally {
    await file.close();
  }
};

/**
 * Several rules in one process. They go by file, because a helper's standard input is the helpers
 * lock. Each table changes as a whole or not at all.
 */
export const applyRules = async (
  changes: readonly Change[],
  { exec, directory, token }: RestoreContext,
  signal?: AbortSignal,
): Promise<void> => {
  if (changes.length === 0) return;
  const path = restorePath(directory, token);
  await writeInPlace(path, restoreInput(changes));
  await exec.run('iptables-restore', ['--noflush', '-w', lockSeconds, path], {
    privileged: true,
    ...(signal === undefined ? {} : { signal }),
  });
};
