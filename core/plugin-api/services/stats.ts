import type { VmStats } from '../../api/contract/types.ts';
import { serviceRef } from '../../capability.ts';

/** The last figures of VMs that run. */
export interface Stats {
  /** Undefined where none are known: the VM does not run, has just started, or does not answer. */
  latest(vm: { readonly id: string }): VmStats | undefined;
}

export const StatsRef = serviceRef<Stats>('stats');
