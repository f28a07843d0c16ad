import { BangerError, toBangerError } from '../errors.ts';
import type { StartOperation } from '../operation/context.ts';
import type { RunningOperation } from '../operation/operations.ts';
import { specOf } from '../vm/record.ts';
import { withCondition, type Vm } from '../vm/repository.ts';
import { chooseDriver } from '../vmm/choose.ts';
import type { VmmDriver, VmmHandle } from '../vmm/driver.ts';
import type { MachineSpec } from '../vmm/machine-spec.ts';
import type { LifecycleDeps } from './deps.ts';
import { guestOf } from './guest-of.ts';
import { provision, ProvisionError } from './provision.ts';
import { tellExited } from './stop.ts';
import { describeFailures, notClean, unwindRun } from './unwind.ts';

export interface StartOutcome {
  /** How far it came, for what a failed create leaves; `nothing` again where a step that it requires failed. */
  readonly reached: 'nothing' | 'boot' | 'running';
}

const emptyMachine = (vm: Vm, driver: VmmDriver): MachineSpec => ({
  vcpus: vm.vcpus,
  memoryMib: vm.memoryMib,
  bootArgs: [],
  drives: [],
  nics: [],
  seed: { hostname: vm.name, dns: [], files: [] },
  agentChannel: driver.agentChannel,
  diskFormats: driver.diskFormats,
});

/**
 * One start, from `stopped` to `running` and provisioned, or back to `stopped` with nothing left of it.
 * @param onRunning called once, at the commit point, with the VMM's handle
 */
export const startVm = async (
  deps: LifecycleDeps,
  vm: Vm,
  runId: string,
  running: RunningOperation,
  onReached: (reached: StartOutcome['reached'], handle?: VmmHandle) => void,
): Promise<void> => {
  const { vms, ledger, registry, settings } = deps;
  // Aborted by cancel, and by us when the start has failed: what is still in flight gives up.
  const failed = new AbortController();
  const signal = AbortSignal.any([running.signal, failed.signal]);
  let committed = false;
  vms.updateRun(vm.id, { state: 'starting', runId, lastError: null, conditions: [] });
  try {
    const leftovers = await unwindRun(ledger, vm.id, null);
    if (leftovers.length > 0) throw notClean(leftovers);
    const { each, driver } = await chooseDriver(registry, settings.vmm);
    const operation: StartOperation = {
      id: running.id,
      kind: running.kind,
      log: running.log,
      signal,
      progress: (progress) => {
        running.progress(progress);
      },
      notice: (text) => {
        running.notice(text);
      },
      vm,
      runId,
      machine: emptyMachine(vm, driver),
    };
    registry.observeStages(operation, running);
    await registry.preflight(operation);
    const claims = ledger.bind(each.capability, { vmId: vm.id, runId }, signal);
    const uid = await driver.user?.(operation, claims);
    if (uid !== undefined) operation.machine.vmmUid = uid;
    await registry.hooks.preStart.promise(operation);
    signal.throwIfAborted();

    running.stage('boot');
    onReached('boot');
    const handle = await driver.boot(operation, claims);
    deps.handles.set(vm.id, handle);
    vms.updateRun(vm.id, { logs: handle.logs });
    await aliveUntil(handle, registry.hooks.postStart.promise(operation));
    signal.throwIfAborted();
    vms.updateRun(vm.id, {
      state: 'running',
      // With the commit: a daemon that ends while it provisions leaves a VM that says so.
      conditions: withCondition(
        vms.get(vm.id).run.conditions,
        'unprovisioned',
        'provisioning was not completed',
      ),
      driver: driver.id,
      ip: operation.machine.seed.address?.split('/')[0] ?? null,
      pid: handle.process.pid,
      current: specOf(vm),
      startedAt: new Date().toISOString(),
    });
    committed = true;
    onReached('running', handle);
    await runProvisioning(deps, operation, running, vm);
    running.stage('ready');
  } catch (thrown) {
    // A signal's reason is the cancellation itself.
    const error = toBangerError(running.signal.aborted ? running.signal.reason : thrown);
    const isTakenBack =
      running.kind === 'create' && error instanceof ProvisionError && error.isRequired;
    if (committed && !isTakenBack) throw error;
    if (isTakenBack) {
      vms.updateRun(vm.id, { state: 'stopping' });
      onReached('nothing');
    }
    failed.abort(error);
    await tellExited(deps, { ...running, vm, runId });
    deps.handles.delete(vm.id);
    const failures = await unwindRun(ledger, vm.id, runId);
    if (failures.length > 0)
      deps.log.error({ vm: vm.name, left: describeFailures(failures) }, 'start left something');
    vms.stopRun(vm.id, error.toBody());
    throw isTakenBack ? notKept(error) : error;
  }
};

const notKept = (error: BangerError): BangerError =>
  new BangerError(error.code, `${error.message}; the VM was not kept`, {
    remedy: 'Mend it, then create the VM again.',
    cause: error,
  });

/** A VMM that goes while the start waits for its guest is the start's failure. */
const aliveUntil = async (handle: VmmHandle, work: Promise<void>): Promise<void> => {
  const gone = handle.exited.then(async (exit) => {
    const logPath = handle.logs['console'];
    const panic = await exit.panic?.();
    const what = panic === undefined ? exit.detail : `its kernel panicked: ${panic}`;
    throw new BangerError(
      panic === undefined ? 'VMM_FAILED' : 'GUEST_PANIC',
      `the VM ended while it was starting: ${what}`,
      logPath === undefined ? {} : { logPath },
    );
  });
  await Promise.race([work, gone]);
};

const runProvisioning = async (
  deps: LifecycleDeps,
  operation: StartOperation,
  running: RunningOperation,
  vm: Vm,
): Promise<void> => {
  const { registry, vms } = deps;
  running.stage('provision');
  try {
    await provision(
      registry.enabled,
      {
        ...operation,
        stage: (name) => {
          running.stage(name);
        },
      },
      () => guestOf(registry, vm),
      operation.machine.rootGeneration ?? operation.runId,
      vms,
    );
    vms.setCondition(vm.id, 'unprovisioned');
  } catch (error) {
    vms.setCondition(vm.id, 'unprovisioned', toBangerError(error).message);
    throw error;
  }
};
