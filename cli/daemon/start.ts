import { spawn } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import type { Paths } from '../../core/config/paths.ts';
import { messageOf, type ErrorBody } from '../../core/errors.ts';
import { CliError, codeOf, errorOf } from '../error.ts';
import { daemonNodeFlags } from './node-flags.ts';
import { poll } from './poll.ts';

/** Generous: a daemon on an emulated machine takes ten times as long as elsewhere. */
const startDeadlineMs = 30_000;

/** The start-up log says why a daemon did not come up; nobody needs last year's reasons. */
const maxLogBytes = 1024 * 1024;

/** The folder that we write these in may be another one for a daemon whose cwd is `/`. */
const folderVariables = ['BANGER_CONFIG', 'BANGER_STATE_DIR', 'BANGER_RUNTIME_DIR'] as const;

/** Starts a daemon of our build and returns once one answers, ours or one that was quicker. */
export const startDaemon = async (paths: Paths, env: NodeJS.ProcessEnv): Promise<void> => {
  const log = openStartLog(paths.stateDirectory);
  let attempt = launch(log.path, env);
  const isUp = await poll(async () => {
    if (await answers(paths.socketPath)) return true;
    if (attempt.exit === undefined) return undefined;
    const error = readError(log, attempt.exit);
    // Another client's daemon comes up or goes down right now: it has the lock, so ask again.
    if (error.body.code !== 'DAEMON_RUNNING') throw error;
    attempt = launch(log.path, env);
    return undefined;
  }, startDeadlineMs);
  if (isUp === undefined) {
    throw new CliError({
      code: 'DAEMON_UNREACHABLE',
      message: `no daemon answers on ${paths.socketPath}`,
      remedy: 'See `banger daemon logs`.',
      logPath: log.path,
    });
  }
};

interface StartLog {
  readonly path: string;
  /** Where our part of it begins. */
  readonly offset: number;
}

const openStartLog = (stateDirectory: string): StartLog => {
  const path = join(stateDirectory, 'daemon-start.log');
  try {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    const file = openSync(path, 'a', 0o600);
    try {
      if (fstatSync(file).size > maxLogBytes) ftruncateSync(file);
      return { path, offset: fstatSync(file).size };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new CliError({
      code: codeOf(error) === 'ENOSPC' ? 'DISK_FULL' : 'PERMISSION_DENIED',
      message: `cannot write ${path}: ${messageOf(error)}`,
      remedy: 'Make that folder writable, or set BANGER_STATE_DIR to another one.',
    });
  }
};

/** Of its own session, so that neither Ctrl-C nor the end of this terminal reaches it. */
const launch = (logPath: string, env: NodeJS.ProcessEnv): { exit: string | undefined } => {
  const absolute = folderVariables.flatMap((name) => {
    const value = env[name];
    return value === undefined || value === '' ? [] : [[name, resolve(value)] as const];
  });
  const log = openSync(logPath, 'a', 0o600);
  const state: { exit: string | undefined } = { exit: undefined };
  try {
    const child = spawn(process.execPath, [...daemonNodeFlags, join(__dirname, 'daemon.js')], {
      cwd: '/',
      detached: true,
      // glibc keeps an arena a thread.
      env: { ...env, MALLOC_ARENA_MAX: '2', ...Object.fromEntries(absolute) },
      stdio: ['ignore', log, log],
    });
    child.once('exit', (code, signal) => {
      state.exit = signal === null ? `exit code ${String(code)}` : signal;
    });
    child.once('error', (error) => {
      state.exit = error.message;
    });
    child.unref();
  } finally {
    closeSync(log);
  }
  return state;
};

const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });

/** A daemon that cannot start writes `{ "error": ErrorBody }` as its last line; a crash does not. */
const readError = (log: StartLog, exit: string): CliError => {
  const said = readFileSync(log.path).subarray(log.offset).toString('utf8').trimEnd().split('\n');
  const last = said.at(-1) ?? '';
  if (last.startsWith('{"error":')) {
    try {
      return errorOf((JSON.parse(last) as { error: ErrorBody }).error);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  const reason = said.find((line) => /^\w*Error\b/.test(line)) ?? last;
  return new CliError({
    code: 'DAEMON_UNREACHABLE',
    message: `the daemon ended as it started (${exit})${reason === '' ? '' : `: ${reason}`}`,
    remedy: 'See the log below.',
    logPath: log.path,
  });
};
