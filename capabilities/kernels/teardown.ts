import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { KernelIdentity } from './identity.ts';

export const kernelTeardown = ownedPathTeardown<KernelIdentity>(/^kernel-([a-z2-7]+)$/);
