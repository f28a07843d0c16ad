import { serviceRef } from '../../capability.ts';
import type { OperationContext } from '../../operation/context.ts';
import type { KernelSpec } from '../../vmm/machine-spec.ts';

export interface StoredKernel extends KernelSpec {
  readonly name: string;
  /** For `uses`. */
  readonly claimId: string;
  /** Folder `lib/modules/<release>` and nothing else above it, for an image build. */
  readonly modulesRoot: string;
}

export interface Kernels {
  /**
   * The kernel of that name, built or fetched first where it is absent.
   * @throws BangerError KERNEL_UNKNOWN, IMAGE_BUILD_FAILED
   */
  resolve(name: string, operation: OperationContext): Promise<StoredKernel>;
}

export const KernelsRef = serviceRef<Kernels>('kernels');

/** The kernel that images use which do not name one. */
export const defaultKernelName = 'debian-bookworm-cloud';
