import { open, readdir, readFile, readlink } from 'node:fs/promises';
import { flock } from 'fs-ext';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError } from '../errors.ts';

const lock = (fd: number, how: 'sh' | 'exnb'): Promise<void> =>
  new Promise((resolve, reject) => {
    flock(fd, how, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });

const isHeldElsewhere = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'EAGAIN' || code === 'EWOULDBLOCK';
};

/**
 * Every helper inherits a shared flock on this file as its standard input. A helper that a killed daemon
 * left behind would create its object after a cleanup found it absent; it still holds the lock, so a
 * successor that takes it exclusively waits until the last one is gone. (The lock belongs to the
 * open file description, so it lives as long as any process has it; descriptors above 2 do not
 * survive sudo, hence standard input.)
 */
export interface HelpersLock {
  /** Standard input for helpers. */
  readonly fd: number;
  /**
   * When no helper of an earlier daemon lives. Before that nothing may be undone, and no helper of ours started.
   * @throws Error where the file cannot be locked at all
   */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

const pollMs = 20;

/** @param onWait told each second while helpers of an earlier daemon are still there */
export const openHelpersLock = async (
  path: string,
  onWait: (elapsedMs: number) => void,
): Promise<HelpersLock> => {
  const exclusive = await open(path, 'a+', 0o600);
  const shared = await open(path, 'r', 0o600);
  const closed = new AbortController();
  const settle = async (): Promise<void> => {
    try {
      await waitForHelpers(exclusive.fd, onWait, closed.signal);
    } finally {
      await exclusive.close();
    }
    // Ours share a description of their own.
    await lock(shared.fd, 'sh');
  };
  const ready = settle();
  // Whoever needs it awaits it; until then a failure is nobody's.
  ready.catch(() => undefined);
  return {
    fd: shared.fd,
    ready,
    close: async () => {
      closed.abort();
      await ready.catch(() => undefined);
      await shared.close();
    },
  };
};

/** flock has no wait with a deadline, hence a poll. */
const waitForHelpers = async (
  fd: number,
  onWait: (elapsedMs: number) => void,
  signal: AbortSignal,
): Promise<void> => {
  const started = performance.now();
  let told = 0;
  for (;;) {
    try {
      await lock(fd, 'exnb');
      return;
    } catch (error) {
      if (!isHeldElsewhere(error)) throw error;
      if (signal.aborted) throw new BangerError('OPERATION_CANCELLED', 'the daemon is stopping');
      const elapsed = performance.now() - started;
      if (elapsed >= told) {
        onWait(elapsed);
        told += 1000;
      }
      await delay(pollMs, undefined, { signal }).catch(() => undefined);
    }
  }
};

/** Processes that have the file as their standard input, for messages; `pid (arguments)`. */
export const helpersOf = async (path: string): Promise<string[]> => {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if ((await readlink(`/proc/${pid}/fd/0`)) !== path) continue;
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').join(' ');
      found.push(`${pid} (${command.trim().slice(0, 80)})`);
    } catch (error) {
      // Ended meanwhile, or another user's: a root's helper of an ordinary user's daemon shows as its sudo.
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code)) throw error;
    }
  }
  return found;
};

/** Takes `path` for this process alone, for as long as the returned handle is open. */
export const lockExclusively = async (
  path: string,
): Promise<{ readonly fd: number; close(): Promise<void> } | undefined> => {
  const handle = await open(path, 'a+', 0o600);
  try {
    await lock(handle.fd, 'exnb');
    return { fd: handle.fd, close: () => handle.close() };
  } catch (error) {
    await handle.close();
    if (isHeldElsewhere(error)) return undefined;
    throw error;
  }
};
