import { lstat, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { BangerError, messageOf, type Executor } from '../../core/plugin-api/index.ts';
import { lines, lookInto } from './git.ts';

/** A repository on the host, as far as it can be known without running anything that it names. */
export interface Repository {
  readonly top: string;
  /** Of this working tree; of a linked one it is below `commonDir`. */
  readonly gitDir: string;
  readonly commonDir: string;
  readonly indexPath: string;
  readonly objects: string;
  readonly format: 'sha1' | 'sha256';
  /** Null: no commit yet. */
  readonly head: string | null;
  /** Null: a detached HEAD. */
  readonly branch: string | null;
  /** Keys in lower case; the last value of each. */
  readonly settings: ReadonlyMap<string, string>;
}

const wanted =
  '^(core\\.(autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|excludesfile|attributesfile)|user\\.(name|email)|remote\\..*\\.url)$';

const unsuitable = (message: string, remedy?: string): BangerError =>
  new BangerError('REPOSITORY_UNSUITABLE', message, remedy === undefined ? {} : { remedy });

/**
 * git's own answers: its rules for linked working trees, and for whose repository it trusts.
 * @throws BangerError REPOSITORY_UNSUITABLE
 */
export const findRepository = async (
  exec: Executor,
  path: string,
  signal: AbortSignal,
): Promise<Repository> => {
  const ask = (args: readonly string[], okCodes = [0]) =>
    lookInto(exec, path, args, { signal, okCodes });
  const where = await ask([
    'rev-parse',
    '--path-format=absolute',
    ...['--show-toplevel', '--absolute-git-dir', '--git-common-dir'],
    ...['--git-path', 'index', '--git-path', 'objects', '--show-object-format'],
  ]).catch((error: unknown) => {
    if (!(error instanceof BangerError) || error.code !== 'COMMAND_FAILED') throw error;
    throw refusal(path, messageOf(error));
  });
  const [top, gitDir, commonDir, indexPath, objects, format, ...rest] = lines(where);
  if (objects === undefined || (format !== 'sha1' && format !== 'sha256') || rest.length > 0)
    throw unsuitable(`the path of the repository at ${path} has a newline in it`, 'Rename it.');
  if ((await folderWithGit(path)) !== (await realpath(top ?? '')))
    throw unsuitable(
      `the repository at ${path} has its working tree elsewhere: ${top ?? ''}`,
      'Unset core.worktree there, if you trust it.',
    );
  const [head, symbolic, config] = await Promise.all([
    ask(['rev-parse', '--quiet', '--verify', 'HEAD^{commit}'], [0, 1, 128]),
    ask(['symbolic-ref', '--quiet', '--short', 'HEAD'], [0, 1]),
    ask(['config', '-z', '--get-regexp', wanted], [0, 1]),
  ]);
  const branch = symbolic.exitCode === 0 ? symbolic.stdout.trim() : null;
  if (branch?.includes('\ufffd') === true)
    throw unsuitable(
      'the name of the branch that is checked out is not UTF-8',
      'Check out another branch.',
    );
  return {
    top: top ?? '',
    gitDir: gitDir ?? '',
    commonDir: commonDir ?? '',
    indexPath: indexPath ?? '',
    objects,
    format,
    head: head.exitCode === 0 ? head.stdout.trim() : null,
    branch,
    settings: parseSettings(config.stdout),
  };
};

/**
 * Where `.git` is: the working tree begins there, whatever `core.worktree` says. A stranger's repository would
 * otherwise take its files from, and put the guest's into, any folder of the user's.
 */
const folderWithGit = async (path: string): Promise<string | undefined> => {
  for (let here = await realpath(path); ; here = dirname(here)) {
    const isHere = await lstat(join(here, '.git')).then(
      () => true,
      () => false,
    );
    if (isHere) return here;
    if (here === dirname(here)) return undefined;
  }
};

const refusal = (path: string, said: string): BangerError => {
  if (said.includes('dubious ownership'))
    return unsuitable(
      `the repository at ${path} belongs to another user`,
      `If you trust it: git config --global --add safe.directory ${path}`,
    );
  if (said.includes('must be run in a work tree'))
    return unsuitable(`the repository at ${path} has no working tree`);
  if (said.includes('not a git repository')) {
    return unsuitable(
      `${path} is not in a git repository`,
      'Name a folder of one, or make it one: git init.',
    );
  }
  return unsuitable(`${path}: ${said}`);
};

/** `key\nvalue` each, ended by NUL; a key alone means true (git-config(1)). */
const parseSettings = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .split('\0')
      .filter((entry) => entry !== '')
      .map((entry) => {
        const cut = entry.indexOf('\n');
        return cut === -1 ? [entry, 'true'] : [entry.slice(0, cut), entry.slice(cut + 1)];
      }),
  );

/** Of excludes and attributes: what is set, or git's default place (gitignore(5), gitattributes(5)). */
export const userFile = (
  settings: ReadonlyMap<string, string>,
  kind: 'excludesfile' | 'attributesfile',
): string => {
  const set = settings.get(`core.${kind}`);
  if (set !== undefined) return set.startsWith('~/') ? join(homedir(), set.slice(2)) : set;
  const base = process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config');
  return join(base, 'git', kind === 'excludesfile' ? 'ignore' : 'attributes');
};

/** @throws BangerError INPUT_INVALID for a revision that the repository does not know */
export const resolveCommit = async (
  exec: Executor,
  { top }: Repository,
  revision: string,
  signal: AbortSignal,
): Promise<string> => {
  const found = await lookInto(
    exec,
    top,
    ['rev-parse', '--quiet', '--verify', '--end-of-options', `${revision}^{commit}`],
    { signal, okCodes: [0, 1, 128] },
  );
  if (found.exitCode === 0) return found.stdout.trim();
  throw new BangerError('INPUT_INVALID', `there is no commit '${revision}' in ${top}`, {
    remedy: 'See `git log` there.',
  });
};

/** @throws BangerError INPUT_INVALID for what cannot be a branch's name */
export const assertBranchName = async (
  exec: Executor,
  { top }: Repository,
  branch: string,
  signal: AbortSignal,
): Promise<void> => {
  const { exitCode } = await lookInto(exec, top, ['check-ref-format', `refs/heads/${branch}`], {
    signal,
    okCodes: [0, 1],
  });
  if (exitCode !== 0 || branch.startsWith('-'))
    throw new BangerError('INPUT_INVALID', `'${branch}' cannot be a branch's name`, {
      remedy: 'See git-check-ref-format(1).',
    });
};
