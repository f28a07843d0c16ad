import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { WorkDiskIdentity } from './identity.ts';

export const workDiskTeardown = ownedPathTeardown<WorkDiskIdentity>(
  /^work-([a-z2-7]+)\.ext4$/,
  (path) => ({ path }),
);
