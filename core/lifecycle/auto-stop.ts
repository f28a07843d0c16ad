import { toBangerError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Usage } from './usage.ts';

interface AutoStopDeps {
  readonly lifecycle: Lifecycle;
  readonly usage: Usage;
  readonly settings: { readonly autoStopAfterMs: number | null };
  readonly log: Logger;
}

const minutes = (ms: number): string =>
  ms < 60_000 ? `${String(Math.round(ms / 1000))} s` : `${String(Math.round(ms / 60_000))} min`;

/**
 * Takes note of what was seen in a guest, and stops it where that was nothing for `lifecycle.auto_stop_after`. It is
 * decided only when somebody has just looked: a guest that cannot be looked into is never stopped.
 */
export const observeUse = (
  { lifecycle, usage, settings, log }: AutoStopDeps,
  vmId: string,
  isUsed: boolean,
): void => {
  const afterMs = settings.autoStopAfterMs;
  if (!usage.observe(vmId, isUsed, afterMs) || afterMs === null) return;
  try {
    const operation = lifecycle.stopUnused(vmId, `nobody has used it for ${minutes(afterMs)}`);
    if (operation === undefined) return;
    usage.forget(vmId);
    log.info({ vm: operation.vmName, operation: operation.id }, 'stopping a VM that nobody uses');
  } catch (error) {
    // Something else has begun with it: that is a use.
    log.debug(
      { vm: vmId, code: toBangerError(error).code },
      'a VM that nobody uses is not stopped',
    );
  }
};
