import { deadlineSignal } from '../deadline.ts';
import { BangerError, messageOf } from '../errors.ts';
import type { RunningOperation } from '../operation/operations.ts';
import type { Vm } from '../vm/repository.ts';
import type { VmmHandle } from '../vmm/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import { guestOf } from './guest-of.ts';
import { takeUp } from './take-up.ts';

/** How long a guest may take to set its clock and mix in what is random, milliseconds. */
const renewMs = 10_000;

const able = (
  { handles }: LifecycleDeps,
  vm: Vm,
): Required<Pick<VmmHandle, 'pause' | 'resume'>> => {
  const handle = handles.get(vm.id);
  if (handle?.pause === undefined || handle.resume === undefined) {
    throw new BangerError(
      'VMM_UNAVAILABLE',
      `the VMM of VM '${vm.name}', ${vm.run.driver ?? 'none'}, cannot pause it`,
      { remedy: 'Stop it instead: banger vm stop NAME.' },
    );
  }
  return handle as VmmHandle & Required<Pick<VmmHandle, 'pause' | 'resume'>>;
};

/** Its CPUs stand still; it keeps its memory, its disks and its network. */
export const pauseVm = async (deps: LifecycleDeps, vm: Vm): Promise<void> => {
  await able(deps, vm).pause();
  deps.vms.updateRun(vm.id, { state: 'paused' });
};

/**
 * @param isAdopted by a daemon that found it paused: its capabilities have yet to take it up again
 */
export const resumeVm = async (
  deps: LifecycleDeps,
  vm: Vm,
  running: RunningOperation,
  isAdopted: boolean,
): Promise<void> => {
  await able(deps, vm).resume();
  deps.vms.updateRun(vm.id, { state: 'running' });
  if (isAdopted) await takeUp(deps, { ...running, vm, runId: vm.run.runId ?? '' });
  try {
    const deadline = deadlineSignal(renewMs, running.signal);
    await guestOf(deps.registry, vm).renew(Date.now(), deadline);
  } catch (error) {
    running.notice(`the clock of VM '${vm.name}' may be late: ${messageOf(error)}`);
  }
};
