import { serviceRef } from '../../capability.ts';
import type { VmRecord } from '../../vm/record.ts';
import type { Guest } from './guest.ts';

/** VM records, and what there is to say of running ones. Core provides it. */
export interface Vms {
  /** @throws BangerError VM_UNKNOWN */
  get(nameOrId: string): VmRecord;
  isRunning(vm: { readonly id: string }): boolean;
  /**
   * The agent in it, for who comes before the capability that brings it.
   * @throws BangerError VM_NOT_RUNNING where none answers
   */
  guest(vm: { readonly id: string; readonly name: string }): Guest;
  /**
   * Adds or replaces the condition of that kind (`cow-full`) of a VM that starts or runs, for `vm list` and
   * `vm show`; no detail removes it. It goes with the run; of another VM nothing is noted.
   */
  setCondition(vm: { readonly id: string }, kind: string, detail: string | undefined): void;
}

export const VmsRef = serviceRef<Vms>('vms');
