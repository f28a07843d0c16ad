import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { KernelIdentity } from './identity.ts';

export const kernelTeardown: Teardown<KernelIdentity, PathObserved> = {
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  reconcile: ({ identity, observed }) => reconcilePath(identity.path, observed),
  scan: (host) => scanOwnedPaths<KernelIdentity>(host, /^kernel-([a-z2-7]+)$/),
};
