import { totalmem } from 'node:os';
import type { SetVm } from '../api/contract/types.ts';
import { BangerError } from '../errors.ts';
import { formatSize } from '../size.ts';
import type { RunningOperation } from '../operation/operations.ts';
import { specOf, type VmSpec } from '../vm/record.ts';
import type { Vm } from '../vm/repository.ts';
import type { LifecycleDeps } from './deps.ts';
import { guestOf } from './guest-of.ts';
import { runStep } from './provision.ts';
import { unwindChange } from './unwind.ts';

/** @throws BangerError VM_RESOURCES where the host has less memory than that */
export const assertMemory = (memoryMib: number): void => {
  const hostMib = Math.floor(totalmem() / 1024 ** 2);
  if (memoryMib <= hostMib) return;
  throw new BangerError(
    'VM_RESOURCES',
    `${String(memoryMib)} MiB of memory is more than the host has (${String(hostMib)} MiB)`,
    { remedy: `Ask for less, for example --memory ${String(Math.floor(hostMib / 2))}M.` },
  );
};

/**
 * The record as it is to be.
 * @throws BangerError INPUT_INVALID, VM_RESOURCES; nothing is changed
 */
export const changedSpec = (vm: Vm, change: SetVm): VmSpec => {
  const from = specOf(vm);
  const to: VmSpec = {
    vcpus: change.vcpus ?? from.vcpus,
    memoryMib: change.memoryMib ?? from.memoryMib,
    diskBytes: change.diskBytes ?? from.diskBytes,
    nat: change.nat ?? from.nat,
  };
  if (Object.keys(change).length === 0) {
    throw new BangerError('INPUT_INVALID', 'there is nothing to change', {
      remedy: 'Give --vcpu, --memory, --disk-size or --nat.',
    });
  }
  if (change.memoryMib !== undefined) assertMemory(change.memoryMib);
  if (to.diskBytes < from.diskBytes) {
    throw new BangerError(
      'INPUT_INVALID',
      `the disk of VM '${vm.name}' has ${formatSize(from.diskBytes)}, and disks grow only`,
      { remedy: 'For a smaller one make a new VM and copy what you need.' },
    );
  }
  return to;
};

/** Puts it on record first; then, where the VM runs, capabilities do what can be done live. */
export const setVm = async (
  { vms, registry, ledger }: LifecycleDeps,
  vm: Vm,
  to: VmSpec,
  running: RunningOperation,
): Promise<void> => {
  vms.updateSpec(vm.id, to);
  const { runId, state, current } = vm.run;
  if (state !== 'running' || runId === null) return;
  running.stage('change');
  let has = current ?? specOf(vm);
  const operation = { ...running, vm: vms.get(vm.id), runId };
  try {
    await unwindChange(ledger, vm.id, runId); // what an earlier one that failed could not take away
    await registry.change(operation, has, async (changes) => {
      for (const { field, step } of changes) {
        if (step !== undefined) await runStep(step, guestOf(registry, vm), operation);
        has = { ...has, [field]: to[field] };
        vms.updateRun(vm.id, { current: has });
      }
    });
  } catch (error) {
    await unwindChange(ledger, vm.id, runId);
    throw error;
  }
};
