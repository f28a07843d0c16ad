import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  ChannelsRef,
  defineCapability,
  GuestsRef,
  nativeProgram,
  newToken,
  observePath,
  provide,
  z,
} from '../../core/plugin-api/index.ts';
import type { CpioEntry } from './cpio.ts';
import { ConnectedGuests } from './guests.ts';
import { agentIdentity } from './identity.ts';
import { buildInitrd, readInitrdBase } from './initrd.ts';
import { agentTeardown, initrdName } from './teardown.ts';

/** Beside the built daemon, or in dist/ when it runs from source. */
const agentBinary = (): string => {
  const path = nativeProgram('guest', 'agent');
  if (path === undefined) {
    throw new BangerError('TOOL_MISSING', 'the guest agent is not built', {
      remedy: 'Build it: npm run build',
    });
  }
  return path;
};

export const vsockAgentCapability = defineCapability({
  id: 'vsock-agent',
  summary: 'the init and agent in each guest, and the way to them',
  after: ['images', 'rootfs', 'work-disk', 'tap-pool', 'nat', 'ssh'],
  stage: 'agent',
  config: z.strictObject({
    /** Seconds until a guest that says nothing is given up. */
    ready_timeout: z.int().min(1).default(180),
  }),
  identity: agentIdentity,
  teardown: agentTeardown,
  needs: { channels: ChannelsRef },
  setup: ({ config, directory, services, log }) => {
    const guests = new ConnectedGuests(log);
    const bases = new Map<string, Promise<readonly CpioEntry[]>>();
    const baseOf = (...[kernel, agent, channel]: Parameters<typeof readInitrdBase>) => {
      const key = `${kernel.id} ${channel}`;
      const known = bases.get(key) ?? readInitrdBase(kernel, agent, channel);
      bases.set(key, known);
      known.catch(() => bases.delete(key));
      return known;
    };
    const connect = (
      vm: { readonly id: string; readonly name: string },
      signal: AbortSignal,
    ): Promise<void> =>
      guests.connect(vm, services.channels.agent(vm), config.ready_timeout * 1000, signal);

    return {
      provides: [provide(GuestsRef, guests)],

      preStart: async ({ vm, machine }, claims) => {
        const { kernel, seed, image } = machine;
        if (kernel === undefined)
          throw new BangerError('KERNEL_UNKNOWN', 'no capability has named a kernel for this VM');
        machine.bootArgs.push(`banger.init=${image?.init === 'systemd' ? '/sbin/init' : 'lean'}`);
        seed.files.push({
          kind: 'file',
          path: '/etc/machine-id',
          mode: 0o444,
          // machine-id(5): 32 hexadecimal digits; the VM's UUID without its hyphens.
          content: `${vm.id.replaceAll('-', '')}\n`,
        });
        const initrd = buildInitrd(await baseOf(kernel, agentBinary(), machine.agentChannel), seed);
        const token = newToken(8);
        const path = join(directory, initrdName(token));
        await claims.acquire({ key: vm.id, scope: 'run', token, identity: { path } }, async () => {
          await writeFile(path, initrd, { mode: 0o600, flag: 'wx' });
          return { value: undefined, observed: await observePath(path) };
        });
        machine.initrd = path;
      },

      postStart: ({ vm, signal }) => connect(vm, signal),
      resume: async ({ vm, signal }) => {
        await guests.endEarlier(vm, services.channels.agent(vm), signal);
        await connect(vm, signal);
      },
      exited: ({ vm }) => {
        guests.disconnect(vm);
        return Promise.resolve();
      },
    };
  },
});
