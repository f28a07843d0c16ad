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
  // A raw disk does not tell whether it shares blocks; its removal needs no more than the path.
  scan: (host) =>
    scanOwnedPaths(host, /^root-([a-z2-7]+)\.(?:raw|qcow2)$/, (path): RootfsIdentity => ({
      path,
      driver: path.endsWith('.qcow2') ? 'qcow2' : 'copy',
    })),
};
