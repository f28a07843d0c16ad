import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { WorkspaceIdentity } from './identity.ts';

/** What a folder is for does not matter any more: its removal needs no more than the path. */
export const workspaceTeardown = ownedPathTeardown<WorkspaceIdentity>(
  /^(?:workspace|scratch)-([a-z2-7]+)$/,
  (path) => ({ kind: 'scratch', path }),
);
