import { ownedPathTeardown } from '../../core/plugin-api/index.ts';
import type { SshIdentity } from './identity.ts';

export const sshTeardown = ownedPathTeardown<SshIdentity>(/^vm-([a-z2-7]+)$/, (path) => ({ path }));
