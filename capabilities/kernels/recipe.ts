/** Where a kernel comes from: a package of a distribution. */
export interface KernelRecipe {
  readonly name: string;
  readonly suite: string;
  /** A metapackage, which depends on the newest kernel's. */
  readonly package: string;
}

export const defaultKernelName = 'debian-bookworm-cloud';

export const kernelRecipes: readonly KernelRecipe[] = [
  // The cloud flavour: virtio and little else, and announced devices by ACPI.
  { name: defaultKernelName, suite: 'bookworm', package: 'linux-image-cloud-amd64' },
];
