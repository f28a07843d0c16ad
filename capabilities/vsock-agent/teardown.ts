import {
  ownedPathTeardown,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { AgentIdentity } from './identity.ts';

export const initrdName = (token: string): string => `initrd-${token}.cpio`;

export const agentTeardown: Teardown<AgentIdentity, PathObserved> = {
  ...ownedPathTeardown<AgentIdentity>(/^initrd-([a-z2-7]+)\.cpio$/, (path) => ({ path })),
  // The kernel has read it long ago: its loss harms nobody.
  reconcile: () => Promise.resolve('healthy'),
};
