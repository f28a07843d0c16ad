import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { SshIdentity } from './identity.ts';

export const sshTeardown: Teardown<SshIdentity, PathObserved> = {
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  reconcile: ({ identity, observed }) => reconcilePath(identity.path, observed),
  scan: (host) => scanOwnedPaths(host, /^vm-([a-z2-7]+)$/, (path) => ({ path })),
};
