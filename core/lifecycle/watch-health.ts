import { setTimeout as delay } from 'node:timers/promises';
import type { Lifecycle } from './lifecycle.ts';
import type { Recovery } from './recovery.ts';

/**
 * How often running VMs are compared with the host, milliseconds: what a reload of the firewall flushed is back
 * within it, and an idle daemon with ten VMs stays far below half a per cent of a CPU.
 */
const everyMs = 30_000;

/** Until the signal is aborted. */
export const watchHealth = async (
  lifecycle: Lifecycle,
  recovery: Recovery,
  signal: AbortSignal,
): Promise<void> => {
  for (;;) {
    const isOver = await delay(everyMs, false, { signal, ref: false }).catch(() => true);
    if (isOver) return;
    if (recovery.isDone) await lifecycle.checkHealth();
  }
};
