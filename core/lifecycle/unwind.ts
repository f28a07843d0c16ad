import { BangerError, messageOf } from '../errors.ts';
import type { Ledger, UnwindFailure } from '../ledger/ledger.ts';

/**
 * What a VM's stop or failed start releases: all `op` and `run` claims, and `vm` claims whose
 * allocation did not come to its end. Held `vm` claims (disks, the address) are delete's alone.
 */
export const unwindRun = async (
  ledger: Ledger,
  vmId: string,
  runId: string | null,
): Promise<UnwindFailure[]> => {
  if (runId !== null) await ledger.closeRun(runId);
  const failures = await ledger.unwind(
    { ownerId: vmId, scopes: ['op', 'run', 'vm'] },
    (row) => row.scope === 'vm' && row.state === 'held',
  );
  if (runId !== null) ledger.forgetRun(runId);
  return failures;
};

/** Everything of a VM, disks included. */
export const unwindVm = (ledger: Ledger, vmId: string): Promise<UnwindFailure[]> =>
  ledger.unwind({ ownerId: vmId });

export const describeFailures = (failures: readonly UnwindFailure[]): string =>
  failures.map(({ claimId, error }) => `${claimId} (${messageOf(error)})`).join('; ');

export const notClean = (failures: readonly UnwindFailure[]): BangerError =>
  new BangerError(
    'VM_NOT_CLEAN',
    `what an earlier run left cannot be removed: ${describeFailures(failures)}`,
  );

/** Of a VM that runs, after a restart of the daemon: what was being made or given up when that ended. */
export const unwindHalf = (ledger: Ledger, vmId: string): Promise<UnwindFailure[]> =>
  ledger.unwind({ ownerId: vmId, states: ['intent', 'releasing'] });

/** The same of a change that failed. `vm` claims may be in the making by someone else, a workspace's for example. */
export const unwindChange = async (
  ledger: Ledger,
  vmId: string,
  runId: string,
): Promise<UnwindFailure[]> => {
  await ledger.settle(runId);
  return ledger.unwind({
    ownerId: vmId,
    scopes: ['op', 'run'],
    states: ['intent', 'releasing'],
  });
};
