import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { observePath } from '../../host/owned-path.ts';
import { newToken } from '../../token.ts';
import type { VmmClaims } from './identity.ts';
import { folderName } from './names.ts';

/**
 * The VM's folder outlives its runs: `vm logs` tells of the last one. Its name is short, because a
 * socket's path has at most 107 bytes.
 */
export const ensureVmmFolder = async (
  directory: string,
  vmId: string,
  claims: VmmClaims,
): Promise<string> => {
  const token = newToken(8);
  const path = join(directory, folderName(token));
  const { identity } = await claims.ensure(
    { key: `folder:${vmId}`, scope: 'vm', token, identity: { kind: 'folder', path } },
    async () => {
      await mkdir(path, { mode: 0o700 });
      return { value: undefined, observed: await observePath(path) };
    },
  );
  return identity.kind === 'folder' ? identity.path : path;
};
