import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessIdentity } from '../../host/executor.ts';
import { isProcessAlive } from '../../host/process-identity.ts';

const pollMs = 5;

/**
 * Waits for the end of a process that may not be our child, so that no event tells of it.
 * @returns false at the deadline
 */
export const waitGone = async (
  identity: ProcessIdentity,
  deadlineMs: number,
  signal?: AbortSignal,
): Promise<boolean> => {
  const end = performance.now() + deadlineMs;
  while (await isProcessAlive(identity)) {
    if (performance.now() > end || signal?.aborted === true) return false;
    await delay(pollMs);
  }
  return true;
};
