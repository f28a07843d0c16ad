import { spawn } from 'node:child_process';
import { tracingChannel } from 'node:diagnostics_channel';
import { access, constants, open, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { BangerError, messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type {
  DetachedProcess,
  DetachOptions,
  Executor,
  RunOptions,
  RunResult,
} from './executor.ts';
import type { HelpersLock } from './helpers-lock.ts';
import { packageOf } from './packages.ts';
import { processIdentity } from './process-identity.ts';

/** What a subscriber of `banger:command` gets: `end` comes once the process is there, `asyncEnd` when it is through. */
export interface CommandSpan {
  readonly command: readonly string[];
}

const commands = tracingChannel<string, CommandSpan>('banger:command');

/** Administrators' tools are outside of an ordinary user's PATH on Debian. */
const adminPath = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
const defaultTimeoutMs = 30_000;
/** How much of a failed command's stderr goes into the error's message. */
const stderrTailLines = 3;

interface ExecutorOptions {
  readonly log: Logger;
  /** Standard input of each helper. */
  readonly helpersLock: Pick<HelpersLock, 'fd' | 'ready'>;
  readonly path: string;
  readonly isRoot: boolean;
}

export const executorPath = (path: string | undefined): string =>
  [...new Set([...(path ?? '/usr/bin:/bin').split(delimiter), ...adminPath])].join(delimiter);

const tail = (text: string): string =>
  text
    .trim()
    .split('\n')
    .slice(-stderrTailLines)
    .map((line) => line.trim())
    .join('; ');

export const createExecutor = (options: ExecutorOptions): Executor => {
  // execa takes any descriptor and passes it on as it is; its types name 3 … 9 only.
  const stdin = options.helpersLock.fd as 3;
  const environment = { PATH: options.path, LC_ALL: 'C', HOME: homedir() };
  /** sudo -n is tried once; a password prompt would never be answered by a daemon. */
  let privilege: Promise<void> | undefined;

  const which = async (file: string): Promise<string | undefined> => {
    const candidates = file.includes('/')
      ? [file]
      : options.path.split(delimiter).map((folder) => join(folder, file));
    for (const candidate of candidates) {
      const found = await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (found) return candidate;
    }
    return undefined;
  };

  const locate = async (file: string): Promise<string> => {
    const path = await which(file);
    if (path === undefined) {
      const brought = packageOf(file);
      throw new BangerError('TOOL_MISSING', `${file} is not installed (package ${brought})`, {
        remedy: `Install it: sudo apt-get install ${brought}`,
      });
    }
    return path;
  };

  const probePrivilege = async (): Promise<void> => {
    const why = await (async () => {
      if ((await which('sudo')) === undefined) return 'sudo is not installed';
      const probe = await execa('sudo', ['-n', 'true'], {
        stdin,
        reject: false,
        env: environment,
        extendEnv: false,
        timeout: defaultTimeoutMs,
      });
      return probe.exitCode === 0 ? undefined : `sudo -n: ${tail(probe.stderr)}`;
    })();
    if (why === undefined) return;
    throw new BangerError(
      'PRIVILEGE_UNAVAILABLE',
      `this needs root, and the daemon has no way to it (${why})`,
    );
  };

  const requirePrivilege = async (): Promise<void> => {
    if (options.isRoot) return;
    privilege ??= probePrivilege();
    try {
      await privilege;
    } catch (error) {
      privilege = undefined; // the user may mend it while the daemon runs
      throw error;
    }
  };

  const run = async (
    file: string,
    args: readonly string[],
    runOptions: RunOptions = {},
  ): Promise<RunResult> => {
    const path = await locate(file);
    const viaSudo = runOptions.privileged === true && !options.isRoot;
    if (viaSudo) await requirePrivilege();
    await options.helpersLock.ready;
    if (runOptions.signal?.aborted === true) throw cancelled(file);
    return commands.tracePromise(() => runToEnd(file, path, args, viaSudo, runOptions), {
      command: [file, ...args],
    });
  };

  const runToEnd = async (
    file: string,
    path: string,
    args: readonly string[],
    viaSudo: boolean,
    runOptions: RunOptions,
  ): Promise<RunResult> => {
    const { signal, timeoutMs = defaultTimeoutMs, okCodes = [0] } = runOptions;
    const env = { ...environment, ...runOptions.env };
    // sudo resets the environment, so what the caller asked for goes through env(1).
    const [command, argv] = viaSudo
      ? ['sudo', ['-n', 'env', ...assignments(runOptions.env), path, ...args]]
      : [path, [...args]];
    const started = performance.now();
    const child = execa(command, argv, {
      stdin,
      reject: false,
      extendEnv: false,
      env,
      ...(runOptions.cwd === undefined ? {} : { cwd: runOptions.cwd }),
      stripFinalNewline: false,
    });
    const { onLine } = runOptions;
    if (onLine !== undefined) {
      for (const input of [child.stdout, child.stderr]) {
        // readline hands its input's error on as its own; execa tells of it already.
        createInterface({ input })
          .on('error', () => undefined)
          .on('line', onLine);
      }
    }
    let ended: 'timeout' | 'abort' | undefined;
    const end = (why: 'timeout' | 'abort'): void => {
      ended ??= why;
      if (viaSudo) {
        // The child is root's, so this user may not signal it; sudo relays a TERM to its command.
        if (child.pid !== undefined) {
          execa('sudo', ['-n', 'kill', '-TERM', String(child.pid)], {
            stdin,
          }).catch((error: unknown) => {
            options.log.warn({ error, file }, 'could not end a privileged command');
          });
        }
      } else child.kill('SIGTERM');
    };
    const onAbort = (): void => {
      end('abort');
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => {
      end('timeout');
    }, timeoutMs);
    const result = await child.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    });
    const durationMs = performance.now() - started;
    const { exitCode = -1, stdout, stderr } = result;
    options.log.debug(
      { command: [file, ...args], privileged: viaSudo, exitCode, durationMs },
      'host command',
    );
    if (ended === 'abort') throw cancelled(file);
    if (ended === 'timeout') {
      throw new BangerError(
        'COMMAND_TIMEOUT',
        `${file} did not end within ${String(timeoutMs / 1000)} s`,
      );
    }
    if (!okCodes.includes(exitCode))
      throw failed(file, args, result.shortMessage, stderr, exitCode);
    return { exitCode, stdout, stderr, durationMs };
  };

  const detach = async (
    file: string,
    args: readonly string[],
    detachOptions: DetachOptions,
  ): Promise<DetachedProcess> => {
    const path = await locate(file);
    const log = await open(detachOptions.logPath, 'a', 0o600);
    try {
      return await commands.tracePromise(() => launch(file, path, args, detachOptions, log), {
        command: [file, ...args],
      });
    } finally {
      await log.close();
    }
  };

  /** The process is there before anything is awaited: `banger:command` says so. */
  const launch = async (
    file: string,
    path: string,
    args: readonly string[],
    detachOptions: DetachOptions,
    log: FileHandle,
  ): Promise<DetachedProcess> => {
    try {
      // A real file as stdout and stderr, and no helpers lock: this one is meant to outlive us.
      const [program, ...words] = [...(detachOptions.through ?? []), path, ...args];
      const child = spawn(program, words, {
        cwd: detachOptions.cwd,
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: { ...environment, ...detachOptions.env },
      });
      const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
        child.once('exit', (code, signal) => {
          resolve({ code, signal });
        });
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      child.unref();
      const pid = child.pid ?? -1;
      // It is our child and unreaped until Node's event loop sees the exit, so /proc still has it.
      const identity = await processIdentity(pid);
      options.log.debug({ command: [file, ...args], pid }, 'detached process');
      return { pid, startTicks: identity?.startTicks ?? -1, exited };
    } catch (error) {
      throw new BangerError('COMMAND_FAILED', `${file} could not be started: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };

  return {
    run,
    detach,
    which,
    require: async (...files) => {
      for (const file of files) await locate(file);
    },
    requirePrivilege,
  };
};

const assignments = (env: Readonly<Record<string, string>> | undefined): string[] =>
  Object.entries({ LC_ALL: 'C', ...env }).map(([name, value]) => `${name}=${value}`);

const cancelled = (file: string): BangerError =>
  new BangerError('OPERATION_CANCELLED', `${file} was ended because the operation was cancelled`);

const failed = (
  file: string,
  args: readonly string[],
  shortMessage: string | undefined,
  stderr: string,
  exitCode: number,
): BangerError => {
  const full = stderr.split('\n').find((line) => line.includes('No space left on device'));
  if (full !== undefined)
    return new BangerError('DISK_FULL', `${file}: ${full.trim()}`, { cause: shortMessage });
  const said = tail(stderr);
  return new BangerError(
    'COMMAND_FAILED',
    `${[file, ...args].join(' ').slice(0, 200)}: ${said === '' ? `exit code ${String(exitCode)}` : said}`,
    { cause: shortMessage },
  );
};
