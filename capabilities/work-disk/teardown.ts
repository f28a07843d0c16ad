import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { WorkDiskIdentity } from './identity.ts';

export const workDiskTeardown: Teardown<WorkDiskIdentity, PathObserved> = {
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  reconcile: ({ identity, observed }) => reconcilePath(identity.path, observed),
  scan: (host) => scanOwnedPaths(host, /^work-([a-z2-7]+)\.ext4$/, (path) => ({ path })),
};
