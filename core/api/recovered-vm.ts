import type { Kernel } from '../kernel.ts';
import type { Vm } from '../vm/repository.ts';

/**
 * The VM that a request is for, once its recovery is through.
 * @throws BangerError VM_UNKNOWN, where it is deleted meanwhile, too
 */
export const recoveredVm = async ({ vms, recovery }: Kernel, name: string): Promise<Vm> => {
  await recovery.of(vms.get(name).id);
  return vms.get(name);
};
