import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { RootfsIdentity } from './identity.ts';

export const rootfsTeardown: Teardown<RootfsIdentity, PathObserved> = {
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  reconcile: ({ identity, observed }) => reconcilePath(identity.path, observed),
  scan: (host) => scanOwnedPaths<RootfsIdentity>(host, /^root-([a-z2-7]+)\.(?:raw|qcow2)$/),
};
