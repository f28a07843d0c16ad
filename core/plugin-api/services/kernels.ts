import { serviceRef } from '../../capability.ts';
import type { OperationContext } from '../../operation/context.ts';
import type { KernelSpec } from '../../vmm/machine-spec.ts';

export interface StoredKernel extends KernelSpec {
  readonly name: string;
  /** For `uses`. */
  readonly claimId: string;
  /** Tar archive of `lib/modules/<release>`, for an image build. */
  readonly modulesArchive: string;
}

export interface Kernels {
  /**
   * The kernel of that name, fetched and unpacked first where it is absent.
   * @throws BangerError KERNEL_UNKNOWN, IMAGE_BUILD_FAILED
   */
  resolve(name: string, operation: OperationContext): Promise<StoredKernel>;
  /** The stored kernel of that content id. @throws BangerError KERNEL_UNKNOWN */
  get(id: string): StoredKernel;
}

export const KernelsRef = serviceRef<Kernels>('kernels');
