import { serviceRef } from '../../capability.ts';
import type { ProcessIdentity } from '../../host/executor.ts';
import type { VmRecord } from '../../vm/record.ts';
import type { Guest } from './guest.ts';

/** VM records, and what there is to say of running ones. Core provides it. */
export interface Vms {
  /** @throws BangerError VM_UNKNOWN */
  get(nameOrId: string): VmRecord;
  list(): readonly VmRecord[];
  isRunning(vm: { readonly id: string }): boolean;
  /** @throws BangerError VM_NOT_RUNNING, which says how it is and what to do */
  assertRunning(vm: { readonly id: string }): void;
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
  /** The VMM's process; undefined where the daemon is connected to none. */
  vmmProcess(vm: { readonly id: string }): ProcessIdentity | undefined;
  /**
   * Told by whoever has looked into a guest: whether it is at work, or somebody is with it. One that nobody has used for
   * `lifecycle.auto_stop_after` is stopped then (docs/idle.md).
   */
  observeUse(vm: { readonly id: string }, isUsed: boolean): void;
}

export const VmsRef = serviceRef<Vms>('vms');
