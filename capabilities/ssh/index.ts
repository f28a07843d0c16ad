import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AddressesRef,
  BangerError,
  defineAction,
  defineCapability,
  newToken,
  observePath,
  VmsRef,
  z,
} from '../../core/plugin-api/index.ts';
import { sshConnect, sshTarget } from './contract.ts';
import { waitForSsh } from './handshake.ts';
import { sshIdentity } from './identity.ts';
import { configuredKey, generateKey, ownKey, type ClientKey } from './keys.ts';
import { sshTeardown } from './teardown.ts';

const hostKeyFile = 'ssh_host_ed25519_key';
const knownHostsFile = 'known_hosts';
const port = 22;

export const sshCapability = defineCapability({
  id: 'ssh',
  summary: 'keys in each guest, and logins against a known host key',
  after: ['tap-pool'],
  optional: true,
  config: z.strictObject({
    /** A private key without passphrase; none: banger's own, made once. */
    key: z.string().min(1).optional(),
    /** Seconds that a login may take to become possible. */
    ready_timeout: z.int().min(1).default(60),
  }),
  identity: sshIdentity,
  teardown: sshTeardown,
  needs: { vms: VmsRef },
  wants: { addresses: AddressesRef },
  setup: ({ config, claims: own, exec, directory, configDirectory, services }) => {
    const { vms, addresses } = services;
    const clientKey = (): Promise<ClientKey> =>
      config.key === undefined ? ownKey(exec, configDirectory) : configuredKey(exec, config.key);

    /** What `connect` tells of a running VM. @throws BangerError VM_NOT_RUNNING, SSH_UNREACHABLE */
    const targetOf = async (name: string, signal: AbortSignal) => {
      const vm = vms.get(name);
      if (!vms.isRunning(vm))
        throw new BangerError('VM_NOT_RUNNING', `VM '${vm.name}' does not run`);
      const address = addresses?.of(vm)?.address;
      const folder = own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vm.id)
        ?.identity.path;
      if (address === undefined || folder === undefined) {
        throw new BangerError(
          'SSH_UNREACHABLE',
          address === undefined
            ? `VM '${vm.name}' has no network, so there is no SSH to it`
            : `VM '${vm.name}' was started without SSH keys; restart it`,
          { remedy: `Use \`banger vm exec ${vm.name}\`, which needs neither.` },
        );
      }
      const { privatePath } = await clientKey();
      const known = join(folder, knownHostsFile);
      const [, hostKey = ''] = (await readFile(join(folder, `${hostKeyFile}.pub`), 'utf8')).split(
        ' ',
      );
      await waitForSsh(
        { host: address, port, privateKey: await readFile(privatePath, 'utf8'), hostKey },
        config.ready_timeout * 1000,
        signal,
      );
      return {
        host: address,
        port,
        user: 'root',
        identityFile: privatePath,
        knownHostsFile: known,
        hostKeyAlias: vm.name,
        options: [
          `UserKnownHostsFile=${known}`,
          'GlobalKnownHostsFile=/dev/null',
          'StrictHostKeyChecking=yes',
          `HostKeyAlias=${vm.name}`,
          'HostKeyAlgorithms=ssh-ed25519',
          'IdentitiesOnly=yes',
          `IdentityFile=${privatePath}`,
        ],
      };
    };

    return {
      preflight: () => exec.require('ssh-keygen'),

      preStart: async ({ vm, machine }, claims) => {
        const { publicKey } = await clientKey();
        const token = newToken(8);
        const path = join(directory, `vm-${token}`);
        const { identity } = await claims.ensure(
          { key: vm.id, scope: 'vm', token, identity: { path } },
          async () => {
            await mkdir(path, { mode: 0o700 });
            await generateKey(exec, join(path, hostKeyFile), vm.name);
            const key = await readFile(join(path, `${hostKeyFile}.pub`), 'utf8');
            const [type = '', blob = ''] = key.split(' ');
            await writeFile(join(path, knownHostsFile), `${vm.name} ${type} ${blob}\n`);
            return { value: undefined, observed: await observePath(path) };
          },
        );
        const read = (name: string): Promise<string> => readFile(join(identity.path, name), 'utf8');
        machine.seed.files.push(
          {
            kind: 'file',
            path: `/etc/ssh/${hostKeyFile}`,
            mode: 0o600,
            content: await read(hostKeyFile),
          },
          {
            kind: 'file',
            path: `/etc/ssh/${hostKeyFile}.pub`,
            mode: 0o644,
            content: await read(`${hostKeyFile}.pub`),
          },
          // The user's own keys in there stay.
          {
            kind: 'line',
            path: '/root/.ssh/authorized_keys',
            mode: 0o600,
            content: `${publicKey}\n`,
          },
        );
      },

      actions: {
        connect: defineAction({
          summary: 'waits until a login works, and says how to',
          mode: 'call',
          input: sshConnect,
          output: sshTarget,
          run: ({ vm }, { signal }) => targetOf(vm, signal),
        }),
      },
    };
  },
});
