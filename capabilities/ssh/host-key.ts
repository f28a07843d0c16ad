import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  newToken,
  observePath,
  reconcilePath,
  type Claims,
  type Executor,
  type PathObserved,
  type SeedFile,
  type VmRecord,
} from '../../core/plugin-api/index.ts';
import { generateKey } from './generate-key.ts';
import type { SshIdentity } from './identity.ts';

const keyFile = 'ssh_host_ed25519_key';

export const knownHostsPath = (folder: string): string => join(folder, 'known_hosts');

/** The key's blob, base64: what a server shows in the handshake. */
export const hostKeyBlob = async (folder: string): Promise<string> =>
  (await readFile(join(folder, `${keyFile}.pub`), 'utf8')).split(' ')[1] ?? '';

const createHostKey = async (
  folder: string,
  vmName: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  await mkdir(folder, { mode: 0o700 });
  await generateKey(exec, join(folder, keyFile), vmName, signal);
  // By the VM's name (HostKeyAlias): addresses are used again.
  await writeFile(knownHostsPath(folder), `${vmName} ssh-ed25519 ${await hostKeyBlob(folder)}\n`);
};

/** The folder with the VM's host key: made at its first start, kept until it is deleted. */
export const ensureHostKey = async (
  vm: VmRecord,
  directory: string,
  exec: Executor,
  claims: Claims<SshIdentity, PathObserved>,
): Promise<string> => {
  const [held] = claims.list({ scope: 'vm' });
  if (held !== undefined) {
    const { path } = held.identity;
    if ((await reconcilePath(path, held.observed)) !== 'lost') return path;
    throw new BangerError('VM_NOT_CLEAN', `the host key of '${vm.name}' in ${path} is gone`, {
      remedy: 'Put it back from a backup, or delete the VM.',
    });
  }
  const token = newToken(8);
  const path = join(directory, `vm-${token}`);
  return claims.acquire({ key: vm.id, scope: 'vm', token, identity: { path } }, async (signal) => {
    await createHostKey(path, vm.name, exec, signal);
    return { value: path, observed: await observePath(path) };
  });
};

/** What the guest's sshd reads. */
export const hostKeySeed = async (folder: string): Promise<SeedFile[]> => {
  const file = async (name: string, mode: number): Promise<SeedFile> => ({
    kind: 'file',
    path: `/etc/ssh/${name}`,
    mode,
    content: await readFile(join(folder, name), 'utf8'),
  });
  return [await file(keyFile, 0o600), await file(`${keyFile}.pub`, 0o644)];
};
