import {
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { AgentIdentity } from './identity.ts';

export const initrdName = (token: string): string => `initrd-${token}.cpio`;

export const agentTeardown: Teardown<AgentIdentity, PathObserved> = {
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  // The kernel has read it long ago: its loss harms nobody.
  reconcile: () => Promise.resolve('healthy'),
  scan: (host) => scanOwnedPaths(host, /^initrd-([a-z2-7]+)\.cpio$/, (path) => ({ path })),
};
