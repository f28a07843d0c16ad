import {
  AddressesRef,
  defineAction,
  defineCapability,
  VmsRef,
  z,
} from '../../core/plugin-api/index.ts';
import { configuredKey, ownKey, type ClientKey } from './client-key.ts';
import { clientOf, connect, locate, type ConnectOptions } from './connect.ts';
import { sshClient, sshConnect, sshPlace, sshTarget } from './contract.ts';
import { ensureHostKey, hostKeySeed, knownHostsPath } from './host-key.ts';
import { sshIdentity } from './identity.ts';
import { sshTeardown } from './teardown.ts';

export const sshCapability = defineCapability({
  id: 'ssh',
  summary: 'keys in each guest, and logins against a known host key',
  after: ['tap-pool'],
  optional: true,
  config: z.strictObject({
    /** A private key without passphrase; none: banger's own, made once. */
    key: z.string().startsWith('/', { error: 'an absolute path' }).optional(),
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

    const options: ConnectOptions = {
      vms,
      addresses,
      claims: own,
      readyTimeoutMs: config.ready_timeout * 1000,
      port: 22,
      clientKey,
    };

    return {
      preflight: async () => {
        await exec.require('ssh-keygen');
        if (config.key !== undefined) await clientKey();
      },

      preStart: async ({ vm, machine }, claims) => {
        const [{ publicKey }, folder] = await Promise.all([
          clientKey(),
          ensureHostKey(vm, directory, exec, claims),
        ]);
        machine.seed.files.push(...(await hostKeySeed(folder)), {
          // The user's own keys in there stay.
          kind: 'line',
          path: '/root/.ssh/authorized_keys',
          mode: 0o600,
          content: `${publicKey}\n`,
        });
      },

      actions: {
        connect: defineAction({
          summary: 'waits until a login works, and says how to',
          mode: 'call',
          input: sshConnect,
          output: sshTarget,
          run: ({ vm }, { signal }) => connect(vm, options, signal),
        }),
        locate: defineAction({
          summary: 'says where a VM’s sshd is, and what host key it shows',
          mode: 'call',
          input: sshConnect,
          output: sshPlace,
          run: ({ vm }) => locate(vm, options),
        }),
        client: defineAction({
          summary: 'says which key guests take',
          mode: 'call',
          input: z.strictObject({}),
          output: sshClient,
          run: () => clientOf(options),
        }),
      },

      describe: ({ id }) => {
        const claim = own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === id);
        return Promise.resolve(
          claim === undefined ? {} : { knownHosts: knownHostsPath(claim.identity.path) },
        );
      },
    };
  },
});
