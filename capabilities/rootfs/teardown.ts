import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { RootfsIdentity } from './identity.ts';

export const rootfsTeardown = ownedPathTeardown<RootfsIdentity>(
  /^root-([a-z2-7]+)\.(?:raw|qcow2)$/,
  // A raw disk does not tell whether it shares blocks; its removal needs no more than the path.
  (path) => ({ path, driver: path.endsWith('.qcow2') ? 'qcow2' : 'copy' }),
);
