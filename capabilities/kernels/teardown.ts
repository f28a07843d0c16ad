import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { KernelIdentity } from './identity.ts';

export const kernelTeardown = ownedPathTeardown<KernelIdentity>(
  /^kernel-([a-z2-7]+)$/,
  // What is in it does not matter any more: its removal needs no more than the path.
  (path) => ({ path, id: '', name: '', release: '', initrdModules: [], createdAt: '' }),
);
