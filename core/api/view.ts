import type { Kernel } from '../kernel.ts';
import type { Description } from '../capability.ts';
import { messageOf } from '../errors.ts';
import { specOf } from '../vm/record.ts';
import { isUp, type Vm } from '../vm/repository.ts';
import { StatsRef } from '../plugin-api/services/stats.ts';
import type { VmDetails, VmListed, VmSummary } from './contract/types.ts';

/** Records as the contract shows them. */
export const vmSummary = (vm: Vm): VmSummary => ({
  id: vm.id,
  name: vm.name,
  state: vm.run.state,
  image: vm.image,
  vcpus: vm.vcpus,
  memoryMib: vm.memoryMib,
  diskBytes: vm.diskBytes,
  nat: vm.nat,
  current: isUp(vm) ? (vm.run.current ?? specOf(vm)) : null,
  ip: vm.run.ip,
  vmm: vm.run.driver,
  pid: vm.run.pid,
  createdAt: vm.createdAt,
  ephemeral: vm.ephemeral,
  conditions: [...vm.run.conditions],
});

export const vmListed = (kernel: Kernel, vm: Vm): VmListed => ({
  ...vmSummary(vm),
  stats: kernel.registry.service(StatsRef)?.latest(vm) ?? null,
});

type Capabilities = VmDetails['capabilities'];

export const vmDetails = async (kernel: Kernel, vm: Vm): Promise<VmDetails> => {
  const capabilities: Record<string, Description> = {};
  for (const { capability, handlers } of kernel.registry.enabled) {
    try {
      const description = await handlers.describe?.(vm);
      if (description !== undefined && Object.keys(description).length > 0)
        capabilities[capability.id] = description;
    } catch (error) {
      capabilities[capability.id] = { error: messageOf(error) };
    }
  }
  return {
    ...vmListed(kernel, vm),
    startedAt: vm.run.startedAt,
    lastError: vm.run.lastError,
    operationId: kernel.lifecycle.activeOperation(vm.id)?.id ?? null,
    capabilities: capabilities as Capabilities,
    logs: { ...vm.run.logs },
  };
};
