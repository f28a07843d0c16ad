import { readFile } from 'node:fs/promises';
import {
  BangerError,
  type Addresses,
  type Claims,
  type Guest,
  type PathObserved,
  type VmRecord,
  type Vms,
} from '../../core/plugin-api/index.ts';
import type { ClientKey } from './client-key.ts';
import type { SshClient, SshPlace, SshTarget } from './contract.ts';
import { waitForSsh } from './handshake.ts';
import { hostKeyBlob, knownHostsPath } from './host-key.ts';
import type { SshIdentity } from './identity.ts';

export interface ConnectOptions {
  readonly vms: Pick<Vms, 'get' | 'assertRunning'> & {
    guest(vm: VmRecord): Pick<Guest, 'exec'>;
  };
  /** Undefined where taps are switched off. */
  readonly addresses: Addresses | undefined;
  /** The daemon's own: sees the claims of all VMs. */
  readonly claims: Claims<SshIdentity, PathObserved>;
  readonly readyTimeoutMs: number;
  readonly port: number;
  clientKey(): Promise<ClientKey>;
}

const user = 'root';

/** A running VM's address, and the folder with its host key. */
const find = (
  name: string,
  { vms, addresses, claims }: ConnectOptions,
): { vm: VmRecord; host: string; folder: string } => {
  const vm = vms.get(name);
  vms.assertRunning(vm);
  const unreachable = (why: string): BangerError =>
    new BangerError('SSH_UNREACHABLE', `VM '${vm.name}' ${why}`, {
      remedy: `Use \`banger vm exec ${vm.name}\`, which needs no SSH.`,
    });
  const host = addresses?.of(vm)?.address;
  if (host === undefined) throw unreachable('has no network, so there is no SSH to it');
  const folder = claims.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vm.id)
    ?.identity.path;
  if (folder === undefined) throw unreachable('was started without SSH keys; restart it');
  return { vm, host, folder };
};

/** @throws BangerError VM_UNKNOWN, VM_NOT_RUNNING, SSH_UNREACHABLE */
export const locate = async (name: string, options: ConnectOptions): Promise<SshPlace> => {
  const { host, folder } = find(name, options);
  return { host, port: options.port, hostKey: `ssh-ed25519 ${await hostKeyBlob(folder)}` };
};

export const clientOf = async ({ clientKey }: ConnectOptions): Promise<SshClient> => ({
  user,
  identityFile: (await clientKey()).privatePath,
});

/**
 * Waits until a login works, and says how OpenSSH does it.
 * @throws BangerError VM_UNKNOWN, VM_NOT_RUNNING, SSH_UNREACHABLE
 */
export const connect = async (
  name: string,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<SshTarget> => {
  const { vm, host, folder } = find(name, options);
  const { readyTimeoutMs, port, clientKey, vms } = options;
  const { privatePath } = await clientKey();
  const [privateKey, hostKey] = await Promise.all([
    readFile(privatePath, 'utf8'),
    hostKeyBlob(folder),
  ]);
  await waitForSsh({ host, port, user, privateKey, hostKey }, readyTimeoutMs, signal, async () => {
    if (!(await hasServer(vms.guest(vm), signal)))
      throw new BangerError('SSH_UNREACHABLE', `there is no SSH server in VM '${vm.name}'`, {
        remedy: `Use \`banger vm exec ${vm.name}\`, which needs none, or install openssh-server in it.`,
      });
  });
  const knownHostsFile = knownHostsPath(folder);
  return {
    host,
    port,
    user,
    identityFile: privatePath,
    knownHostsFile,
    hostKeyAlias: vm.name,
    options: openSshOptions(privatePath, knownHostsFile, vm.name),
  };
};

/** Whether it is worth to wait: a server comes up after the agent, and an image may have none. */
const hasServer = async (guest: Pick<Guest, 'exec'>, signal: AbortSignal): Promise<boolean> => {
  const { result } = await guest.exec(
    {
      argv: ['sh', '-c', 'command -v sshd || command -v dropbear'],
      stdin: false,
      onStdout: () => undefined,
      onStderr: () => undefined,
    },
    signal,
  );
  const end = await result;
  return end.kind === 'exit' && end.code === 0;
};

/**
 * That key and that host key and nothing else, whatever ~/.ssh/config has for `Host *`: no jump host, and no shared
 * connection, which would lead to the VM that had the address before.
 */
const openSshOptions = (identityFile: string, knownHostsFile: string, alias: string): string[] => [
  `IdentityFile=${quoted(identityFile)}`,
  'IdentitiesOnly=yes',
  `UserKnownHostsFile=${quoted(knownHostsFile)}`,
  'GlobalKnownHostsFile=/dev/null',
  `HostKeyAlias=${alias}`,
  'HostKeyAlgorithms=ssh-ed25519',
  'StrictHostKeyChecking=yes',
  'UpdateHostKeys=no',
  'ProxyCommand=none',
  'ControlPath=none',
  'LogLevel=ERROR',
];

/** ssh_config(5): a value with spaces stands in double quotes, and `%` begins a token. */
const quoted = (path: string): string => `"${path.replaceAll('%', '%%')}"`;
