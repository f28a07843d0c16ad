import type { VmSummary } from '../../core/api/contract/types.ts';
import { formatSize } from '../../core/size.ts';

type Spec = Pick<VmSummary, 'vcpus' | 'memoryMib' | 'diskBytes' | 'nat'>;

/** What a VM has: said when one is made, and by `vm show`. */
export const formatSpec = (vm: Spec): string =>
  `${String(vm.vcpus)} vcpu · ${String(vm.memoryMib)} MiB · ${formatSize(vm.diskBytes)} disk` +
  (vm.nat ? '' : ' · no nat');

/** What the record asks for and the run has not: a line each, for a person. */
export const pendingChanges = (vm: Spec & Pick<VmSummary, 'current'>): readonly string[] => {
  const { current: has } = vm;
  if (has === null) return [];
  const memory = (spec: Spec): string => `${String(spec.memoryMib)} MiB`;
  const disk = (spec: Spec): string => `${formatSize(spec.diskBytes)} disk`;
  const cpus = (spec: Spec): string => `${String(spec.vcpus)} vcpu`;
  const nat = (spec: Spec): string => (spec.nat ? 'nat' : 'no nat');
  return [cpus, memory, disk, nat].flatMap((of) =>
    of(vm) === of(has) ? [] : [`${of(vm)} (${of(has)} now)`],
  );
};
