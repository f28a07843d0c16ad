import { setTimeout as delay } from 'node:timers/promises';
import { deadlineSignal } from '../deadline.ts';
import { BangerError } from '../errors.ts';
import type { Guest } from '../plugin-api/services/guest.ts';

/** How long the guest's kernel may take to see that its disk has grown, milliseconds. */
const seenMs = 10_000;
const askAgainMs = 20;

/**
 * Grows the file system that is mounted at `path` once the guest sees that its disk has `bytes`.
 * @throws BangerError GUEST_FAILED, GUEST_UNREACHABLE
 */
export const growInGuest = async (
  guest: Guest,
  path: string,
  bytes: number,
  signal: AbortSignal,
): Promise<void> => {
  const deadline = deadlineSignal(seenMs, signal);
  for (;;) {
    const has = await guest.grow(path, signal);
    if (has >= bytes) return;
    if (deadline.aborted) {
      signal.throwIfAborted();
      throw new BangerError(
        'GUEST_FAILED',
        `the guest sees ${String(has)} bytes of the disk at ${path}, not ${String(bytes)}`,
        { remedy: 'Restart the VM: the file system grows then.' },
      );
    }
    await delay(askAgainMs);
  }
};
