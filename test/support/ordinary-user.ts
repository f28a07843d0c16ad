import { execFile, type ExecFileException } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** An account made for one test: `await using user = await ordinaryUser()`. */
export interface OrdinaryUser extends AsyncDisposable {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
  /** This repository, as the user sees it: it may be cloned below a folder that only root enters. */
  readonly repository: string;
  /** HOME, USER, PATH and an XDG_RUNTIME_DIR; nothing of root's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command as the user. Resolves whatever the exit code. */
  run(argv: readonly string[], options?: RunOptions): Promise<Outcome>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const repository = join(import.meta.dirname, '..', '..');
const sbin = '/usr/sbin:/sbin';
const command = promisify(execFile);
const asRoot = (file: string, ...args: string[]) =>
  command(file, args, { env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:${sbin}` } });

/**
 * A user with a home, subordinate ids and, unless told otherwise, passwordless sudo. Needs root, useradd,
 * setpriv and sudo. At the end its processes, its files and the account are gone.
 */
export const ordinaryUser = async ({ sudo = true } = {}): Promise<OrdinaryUser> => {
  const name = `bgt-${randomBytes(4).toString('hex')}`;
  // No dot in it: sudo skips such files.
  const sudoers = `/etc/sudoers.d/${name}`;
  const undo: (() => Promise<unknown>)[] = [];
  const dispose = async (): Promise<void> => {
    const errors: unknown[] = [];
    // One step's failure must not keep the account, and with it a way to root, on the machine.
    while (undo.length > 0)
      await undo
        .pop()?.()
        .catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, `the user '${name}' is not all gone`);
  };
  try {
    await asRoot('useradd', '--create-home', '--user-group', '--shell', '/bin/bash', name);
    undo.push(() => asRoot('userdel', '--remove', name));
    const [, , , , , home = '', ...rest] = await accountOf(name);
    if (home === '' || rest.length === 0) throw new Error(`no account '${name}'`);
    const { uid } = await stat(home);
    undo.push(() => endProcessesOf(uid));
    await ensureSubordinateIds(name, uid);
    if (sudo) {
      undo.push(() => rm(sudoers, { force: true }));
      await writeFile(sudoers, `${name} ALL=(ALL) NOPASSWD: ALL\n`, { mode: 0o440 });
    }
    const runtime = join(home, 'run');
    await mkdir(runtime, { mode: 0o700 });
    await asRoot('chown', `${uid}:${uid}`, runtime);
    // Never below the home, which is removed with all that is in it; rmdir refuses what is mounted.
    const view = join(tmpdir(), name);
    await mkdir(view, { mode: 0o755 });
    undo.push(() => rmdir(view));
    await asRoot('mount', '--bind', repository, view);
    undo.push(() => asRoot('umount', '--lazy', view));
    const env = {
      HOME: home,
      USER: name,
      LOGNAME: name,
      LANG: 'C.UTF-8',
      PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
      XDG_RUNTIME_DIR: runtime,
    };
    return {
      name,
      uid,
      home,
      repository: view,
      env,
      run: (argv, options = {}) => runAs(name, home, argv, { ...env, ...options.env }, options),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
};

const accountOf = async (name: string): Promise<readonly string[]> =>
  (await command('getent', ['passwd', name])).stdout.trim().split(':');

/** useradd gives them where /etc/login.defs and an existing /etc/subuid say so; mmdebstrap needs them. */
const ensureSubordinateIds = async (name: string, uid: number): Promise<void> => {
  for (const [file, option] of [
    ['/etc/subuid', '--add-subuids'],
    ['/etc/subgid', '--add-subgids'],
  ] as const) {
    const found = await readFile(file, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    });
    if (found.split('\n').some((line) => line.startsWith(`${name}:`))) continue;
    // Far above the ranges that useradd hands out, and apart for each account.
    const first = 0x2000_0000 + (uid % 4096) * 65_536;
    await asRoot('usermod', option, `${first}-${first + 65_535}`, name);
  }
};

/** setpriv, not su or runuser: no PAM session, no /run/user folder, no login shell between. */
const runAs = (
  name: string,
  cwd: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  { timeoutMs = 300_000 }: RunOptions,
): Promise<Outcome> => {
  const ids = [`--reuid=${name}`, `--regid=${name}`, '--init-groups'];
  return new Promise((resolve, reject) => {
    const child = execFile(
      'setpriv',
      [...ids, '--', ...argv],
      { cwd, env, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 },
      (error: ExecFileException | null, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr, exitCode: 0 });
        else if (typeof error.code === 'number') resolve({ stdout, stderr, exitCode: error.code });
        else reject(new Error(`${argv.join(' ')}: ${error.message}\n${stderr}`, { cause: error }));
      },
    );
    child.stdin?.end();
  });
};

/** By uid, one by one, until none is left: userdel refuses while a process runs. */
const endProcessesOf = async (uid: number): Promise<void> => {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const pids = await liveProcessesOf(uid);
    if (pids.length === 0) return;
    if (Date.now() > deadline) throw new Error(`processes of uid ${uid} stay: ${pids.join(' ')}`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await sleep(50);
  }
};

const liveProcessesOf = async (uid: number): Promise<number[]> => {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ESRCH') return '';
      throw error;
    });
    // The real uid is the first of four; a zombie holds nothing.
    if (new RegExp(`^Uid:\\t${uid}\\t`, 'm').test(status) && !/^State:\tZ/m.test(status))
      found.push(Number(pid));
  }
  return found;
};
