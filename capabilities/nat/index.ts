import {
  AddressesRef,
  defineCapability,
  newToken,
  toBangerError,
  z,
  type Claims,
} from '../../core/plugin-api/index.ts';
import { isForwarding, setForwarding, uplinks } from './forwarding.ts';
import { natIdentity, type NatIdentity } from './identity.ts';
import { addition, restore, savedRules } from './rules.ts';
import { natTeardown } from './teardown.ts';

export const natCapability = defineCapability({
  id: 'nat',
  summary: 'the guests’ way out, by the host’s addresses',
  after: ['tap-pool'],
  stage: 'network',
  optional: true,
  config: z.strictObject({
    /** Devices that lead outside; none: those of the default routes. */
    uplinks: z.array(z.string().min(1)).default([]),
  }),
  identity: natIdentity,
  teardown: natTeardown,
  wants: { addresses: AddressesRef },
  setup: ({ config, exec, instance, directory, services }) => {
    const { addresses } = services;
    const check = async (): Promise<void> => {
      await exec.require('iptables', 'iptables-save', 'iptables-restore', 'sysctl');
      await exec.requirePrivilege();
    };

    /** Switches forwarding on where it is off, and remembers that it was. */
    const forward = async (bridge: string, claims: Claims<NatIdentity, never>): Promise<void> => {
      const devices = config.uplinks.length > 0 ? config.uplinks : await uplinks(exec);
      for (const device of devices) {
        if ((await isForwarding(exec, device)) !== false) continue;
        await claims.ensure(
          { key: `forwarding:${device}`, scope: 'host', identity: { kind: 'forwarding', device } },
          async () => {
            await setForwarding(exec, [device], true);
            return { value: undefined };
          },
        );
      }
      // The bridge's own switch goes with the bridge.
      if ((await isForwarding(exec, bridge)) === false) await setForwarding(exec, [bridge], true);
    };

    return {
      // Without taps there is nothing to translate, and so nothing that is needed.
      preflight: () => (addresses === undefined ? Promise.resolve() : check()),

      preStart: async ({ vm }, claims) => {
        const lease = addresses?.of(vm);
        if (lease === undefined) return;
        const { bridge, address } = lease;
        const token = newToken(8);
        await forward(bridge, claims);
        await claims.acquire(
          { key: vm.id, scope: 'run', token, identity: { kind: 'rules', bridge, address } },
          async (signal) => {
            const marker = instance.marker(token);
            await restore(exec, directory, addition({ bridge, address, marker }), signal);
            return { value: undefined };
          },
        );
      },

      doctor: async () => {
        const title = 'iptables';
        try {
          await check();
          await savedRules(exec);
          return [{ id: 'iptables', title, status: 'ok', detail: 'rules can be read' }];
        } catch (thrown) {
          const { message, remedy } = toBangerError(thrown);
          return [{ id: 'iptables', title, status: 'error', detail: message, remedy }];
        }
      },
    };
  },
});
