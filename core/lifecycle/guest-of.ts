import { BangerError } from '../errors.ts';
import { GuestsRef, type Guest } from '../plugin-api/services/guest.ts';
import type { Registry } from '../registry.ts';
import type { Vm } from '../vm/repository.ts';

/** @throws BangerError GUEST_UNREACHABLE, VM_NOT_RUNNING */
export const guestOf = (
  registry: Registry,
  vm: { readonly id: string; readonly name: string },
): Guest => {
  const guests = registry.service(GuestsRef);
  if (guests === undefined)
    throw new BangerError('GUEST_UNREACHABLE', 'no capability reaches into the guest');
  return guests.of(vm);
};

/**
 * For what a user asks of a guest: not before the start is through.
 * @throws BangerError VM_NOT_RUNNING
 */
export const assertRunning = (vm: Vm): void => {
  const { state } = vm.run;
  if (state === 'running') return;
  throw new BangerError(
    'VM_NOT_RUNNING',
    `VM '${vm.name}' is ${state}`,
    state === 'paused' ? { remedy: `Let it go on: banger vm resume ${vm.name}` } : {},
  );
};

/** @throws BangerError GUEST_UNREACHABLE, VM_NOT_RUNNING */
export const runningGuest = (registry: Registry, vm: Vm): Guest => {
  assertRunning(vm);
  return guestOf(registry, vm);
};
