import { deadlineSignal, within } from '../deadline.ts';
import { messageOf } from '../errors.ts';
import type { VmOperation } from '../operation/context.ts';
import type { RunningOperation } from '../operation/operations.ts';
import { GuestsRef } from '../plugin-api/services/guest.ts';
import type { Vm } from '../vm/repository.ts';
import type { LifecycleDeps } from './deps.ts';
import { notClean, unwindRun } from './unwind.ts';

/** Connections and watchers go; what they took from the host is the unwind's. */
export const tellExited = async (deps: LifecycleDeps, operation: VmOperation): Promise<void> => {
  try {
    await deps.registry.hooks.exited.promise(operation);
  } catch (error) {
    deps.log.warn({ vm: operation.vm.name, error: messageOf(error) }, 'exited failed; going on');
  }
};

/** How long the guest may take to accept a shutdown, milliseconds. */
const shutdownRequestMs = 5_000;

/**
 * preStop → the guest's own shutdown → the driver's means → unwind, which kills what is left.
 * @param hurry aborted: no more gentleness (kill, or kill during stop)
 */
export const stopVm = async (
  deps: LifecycleDeps,
  vm: Vm,
  running: RunningOperation,
  hurry: AbortSignal,
): Promise<void> => {
  const { vms, ledger, registry, handles, settings } = deps;
  vms.updateRun(vm.id, { state: 'stopping' });
  const operation: VmOperation = { ...running, vm, runId: vm.run.runId ?? '' };
  const handle = handles.get(vm.id);
  const isHurried = (): boolean => hurry.aborted;
  if (handle !== undefined && !isHurried()) {
    running.stage('shutdown');
    const deadline = deadlineSignal(settings.stopTimeoutMs, hurry);
    try {
      await registry.hooks.preStop.promise({ ...operation, signal: deadline });
      const guest = registry.service(GuestsRef);
      await guest?.of(vm).shutdown(deadlineSignal(shutdownRequestMs, deadline));
      await within(deadline, handle.exited);
    } catch (error) {
      if (!isHurried())
        deps.log.warn({ vm: vm.name, error: messageOf(error) }, 'guest did not shut down');
    }
    if (!isHurried()) await handle.shutdown(hurry);
  }
  running.stage('cleanup');
  await tellExited(deps, operation);
  const failures = await unwindRun(ledger, vm.id, vm.run.runId);
  handles.delete(vm.id);
  if (failures.length > 0) {
    const error = notClean(failures);
    vms.stopRun(vm.id, error.toBody());
    throw error;
  }
  vms.stopRun(vm.id, null);
};
