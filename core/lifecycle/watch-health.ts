import { setTimeout as delay } from 'node:timers/promises';
import type { Lifecycle } from './lifecycle.ts';
import type { Recovery } from './recovery.ts';

/** What a reload of the firewall flushed is back within `everyMs`. Until the signal is aborted. */
export const watchHealth = async (
  lifecycle: Lifecycle,
  recovery: Recovery,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> => {
  for (;;) {
    const isOver = await delay(everyMs, false, { signal, ref: false }).catch(() => true);
    if (isOver) return;
    if (recovery.isDone) await lifecycle.checkHealth();
  }
};
