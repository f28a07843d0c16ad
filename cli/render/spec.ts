import type { VmSummary } from '../../core/api/contract/types.ts';
import { formatSize } from '../../core/size.ts';

/** What a VM has: said when one is made, and by `vm show`. */
export const formatSpec = (vm: Pick<VmSummary, 'vcpus' | 'memoryMib' | 'diskBytes'>): string =>
  `${String(vm.vcpus)} vcpu · ${String(vm.memoryMib)} MiB · ${formatSize(vm.diskBytes)} disk`;
