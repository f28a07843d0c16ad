import { open } from 'node:fs/promises';
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
  close(): Promise<void>;
}

/**
 * @param deadlineMs how long to wait for helpers of an earlier daemon before `onWait` is told again
 */
export const openHelpersLock = async (
  path: string,
  onWait: (elapsedMs: number) => void,
  signal: AbortSignal,
): Promise<HelpersLock> => {
  const exclusive = await open(path, 'a+', 0o600);
  const started = performance.now();
  for (;;) {
    try {
      await lock(exclusive.fd, 'exnb');
      break;
    } catch (error) {
      if (!isHeldElsewhere(error)) throw error;
      if (signal.aborted) throw new BangerError('OPERATION_CANCELLED', 'the daemon is stopping');
      onWait(performance.now() - started);
      // flock has no wait with a deadline, hence a poll.
      await delay(20, undefined, { signal }).catch(() => undefined);
    }
  }
  // From here on no helper of an earlier daemon lives. Ours share a description of their own.
  await exclusive.close();
  const shared = await open(path, 'r', 0o600);
  await lock(shared.fd, 'sh');
  return { fd: shared.fd, close: () => shared.close() };
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
