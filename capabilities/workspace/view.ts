import type { BigIntStats } from 'node:fs';
import { copyFile, lstat, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Executor, RunResult } from '../../core/plugin-api/index.ts';
import { runBounded, runIsolated, type GitOptions } from './git.ts';
import { inQuotes, quotePath } from './quoted-path.ts';
import { userFile, type Repository } from './repository.ts';

/**
 * A git folder of our own over a repository's objects and working tree: it reads both, writes objects to itself
 * alone, and has none of the repository's configuration. What is in there to run a program (filters, hooks,
 * fsmonitor, external diffs, an ssh command) does not exist for it.
 */
export interface View {
  readonly gitDir: string;
  readonly workTree: string;
  git(args: readonly string[], options: GitOptions): Promise<RunResult>;
  /** With at most that much address space. */
  bounded(args: readonly string[], bytes: number, options: GitOptions): Promise<RunResult>;
}

export const openView = (exec: Executor, gitDir: string, workTree: string): View => ({
  gitDir,
  workTree,
  git: (args, options) => runIsolated(exec, { gitDir, workTree }, args, options),
  bounded: (args, bytes, options) => runBounded(exec, { gitDir, workTree }, args, bytes, options),
});

/** Settings that say how files and objects correspond, and what they may be. */
const carried: Readonly<Record<string, RegExp>> = {
  autocrlf: /^(true|false|input)$/,
  eol: /^(lf|crlf|native)$/,
  filemode: /^(true|false)$/,
  symlinks: /^(true|false)$/,
  ignorecase: /^(true|false)$/,
  precomposeunicode: /^(true|false)$/,
};

const configOf = ({ settings, format }: Repository): string => {
  const kept = Object.entries(carried).flatMap(([key, allowed]) => {
    const value = settings.get(`core.${key}`)?.toLowerCase();
    return value !== undefined && allowed.test(value) ? [`${key} = ${value}`] : [];
  });
  return [
    '[core]',
    `repositoryformatversion = ${format === 'sha1' ? '0' : '1'}`,
    'bare = false',
    ...kept,
    `excludesfile = ${inQuotes(userFile(settings, 'excludesfile'))}`,
    `attributesfile = ${inQuotes(userFile(settings, 'attributesfile'))}`,
    'hookspath = /dev/null',
    'fsmonitor = false',
    'safecrlf = false',
    'quotepath = true',
    // A process with little address space maps little of a pack at once.
    'packedgitwindowsize = 32m',
    'packedgitlimit = 256m',
    'bigfilethreshold = 64m',
    // A file that one side adds stays where it was added.
    '[merge]',
    'directoryrenames = false',
    '[gc]',
    'auto = 0',
    '[maintenance]',
    'auto = false',
    '[protocol]',
    'allow = never',
    ...(format === 'sha1' ? [] : ['[extensions]', `objectformat = ${format}`]),
    '',
  ].join('\n');
};

/** Undefined for what is not there, or is no plain file: a pipe would be waited for, a link leads anywhere. */
const plainFile = async (path: string): Promise<BigIntStats | undefined> => {
  try {
    const found = await lstat(path, { bigint: true });
    return found.isFile() ? found : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const copyIfThere = async (from: string, to: string): Promise<void> => {
  if ((await plainFile(from)) !== undefined) await copyFile(from, to);
};

/** Written by hand rather than by `git init`, whose templates are the system's. */
export const createView = async (
  exec: Executor,
  gitDir: string,
  repository: Repository,
): Promise<View> => {
  const { commonDir, objects, top } = repository;
  for (const folder of ['objects/info', 'objects/pack', 'refs/banger', 'info'])
    await mkdir(join(gitDir, folder), { recursive: true });
  await Promise.all([
    writeFile(join(gitDir, 'HEAD'), 'ref: refs/heads/banger-none\n'),
    writeFile(join(gitDir, 'config'), configOf(repository)),
    writeFile(join(gitDir, 'objects/info/alternates'), `${quotePath(objects)}\n`),
    copyIfThere(join(commonDir, 'info/exclude'), join(gitDir, 'info/exclude')),
    copyIfThere(join(commonDir, 'info/attributes'), join(gitDir, 'info/attributes')),
    copyIfThere(join(commonDir, 'shallow'), join(gitDir, 'shallow')),
  ]);
  return openView(exec, gitDir, top);
};

/**
 * Copies the repository's index, with its time: what is as old as the index git compares by content, so a copy that
 * seems younger would hide changes.
 */
export const copyIndex = async ({ indexPath }: Repository, to: string): Promise<void> => {
  const found = await plainFile(indexPath);
  if (found === undefined) return;
  await copyFile(indexPath, to);
  // Microseconds, one less than it was: a double holds no more.
  const seconds = Number(found.mtimeNs / 1000n - 1n) / 1e6;
  await utimes(to, seconds, seconds);
  // A split index (git-update-index(1)) has its larger part beside it, by a name that its content decides.
  for (const name of await readdir(dirname(indexPath))) {
    if (/^sharedindex\.[0-9a-f]+$/.test(name))
      await copyFile(join(dirname(indexPath), name), join(dirname(to), name));
  }
};
