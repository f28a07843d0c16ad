import type { Executor, RunResult } from '../../core/plugin-api/index.ts';

/** Milliseconds: a large repository's pack takes minutes. */
const timeoutMs = 1_800_000;
/** Of a question to a repository; one that has a pipe in the place of a file never answers. */
const questionMs = 60_000;

export interface GitOptions {
  readonly signal: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are answers; default `[0]`. */
  readonly okCodes?: readonly number[];
}

/** For each git, whatever repository it looks at: nothing is asked, fetched or replaced. */
const quiet: Readonly<Record<string, string>> = {
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: 'false',
  GIT_EDITOR: 'false',
  GIT_PAGER: 'cat',
  GIT_ALLOW_PROTOCOL: 'none',
  GIT_NO_LAZY_FETCH: '1',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_OPTIONAL_LOCKS: '0',
};

/**
 * Looks into a repository by its own configuration, which may name programs. Only for commands that run none, and
 * with the two switched off that any command might run.
 */
export const lookInto = (
  exec: Executor,
  folder: string,
  args: readonly string[],
  { signal, okCodes }: GitOptions,
): Promise<RunResult> =>
  exec.run(
    'git',
    ['-C', folder, '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', ...args],
    { env: quiet, signal, timeoutMs: questionMs, ...(okCodes === undefined ? {} : { okCodes }) },
  );

export interface Place {
  /** A git folder of our own, see view.ts. */
  readonly gitDir: string;
  readonly workTree: string;
}

/** No configuration but that of our own git folder: neither the repository's nor the user's nor the system's. */
const isolated = ({ gitDir, workTree }: Place): Record<string, string> => ({
  ...quiet,
  GIT_DIR: gitDir,
  GIT_WORK_TREE: workTree,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
  // For a git older than GIT_CONFIG_GLOBAL (2.32).
  HOME: '/nonexistent',
  GIT_AUTHOR_NAME: 'banger',
  GIT_AUTHOR_EMAIL: 'banger@localhost',
  GIT_COMMITTER_NAME: 'banger',
  GIT_COMMITTER_EMAIL: 'banger@localhost',
});

/** Runs git in a folder of our own. @returns standard output */
export const runIsolated = async (
  exec: Executor,
  place: Place,
  args: readonly string[],
  { signal, okCodes, env }: GitOptions,
): Promise<RunResult> =>
  exec.run('git', args, {
    cwd: place.workTree,
    env: { ...isolated(place), ...env },
    signal,
    timeoutMs,
    ...(okCodes === undefined ? {} : { okCodes }),
  });

/**
 * The same with a bound on memory, for what a guest has a say in: a patch of a megabyte can ask for a terabyte.
 * @param bytes of address space, setrlimit(2)
 */
export const runBounded = async (
  exec: Executor,
  place: Place,
  args: readonly string[],
  bytes: number,
  { signal, okCodes, env }: GitOptions,
): Promise<RunResult> =>
  exec.run('prlimit', [`--as=${String(bytes)}`, '--', 'git', ...args], {
    cwd: place.workTree,
    env: { ...isolated(place), ...env },
    signal,
    timeoutMs,
    ...(okCodes === undefined ? {} : { okCodes }),
  });

export const lines = ({ stdout }: Pick<RunResult, 'stdout'>): string[] =>
  stdout.split('\n').filter((line) => line !== '');
