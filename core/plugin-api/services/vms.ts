import { serviceRef } from '../../capability.ts';
import type { VmRecord } from '../../vm/record.ts';

/** VM records, for actions that name a VM. Core provides it. */
export interface Vms {
  /** @throws BangerError VM_UNKNOWN */
  get(nameOrId: string): VmRecord;
  isRunning(vm: { readonly id: string }): boolean;
}

export const VmsRef = serviceRef<Vms>('vms');
