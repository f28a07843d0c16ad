import {
  AddressesRef,
  defineCapability,
  provide,
  toBangerError,
  z,
  type VmAddress,
} from '../../core/plugin-api/index.ts';
import { networkIdentity } from './identity.ts';
import { guestMac, Network } from './network.ts';
import { preflight } from './preflight.ts';
import { hostResolvers } from './resolvers.ts';
import { gatewayOf, parseSubnet } from './subnet.ts';
import { networkTeardown } from './teardown.ts';

export const tapPoolCapability = defineCapability({
  id: 'tap-pool',
  summary: 'the bridge, and each VM’s tap and address',
  after: ['work-disk'],
  stage: 'network',
  optional: true,
  config: z.strictObject({
    /** The guests' network; `auto`: a /24 of 10.64.0.0/10 that collides with nothing of the host's. */
    subnet: z.string().default('auto'),
    /** The guests' name servers; none: the host's. */
    dns: z.array(z.ipv4()).default([]),
  }),
  identity: networkIdentity,
  teardown: networkTeardown,
  setup: ({ config, claims, exec, instance, directory }) => {
    if (config.subnet !== 'auto') parseSubnet(config.subnet);
    const network = new Network({ exec, instance, directory, subnet: config.subnet, claims });

    const addressOf = ({ id }: { readonly id: string }): VmAddress | undefined => {
      const lease = network.leases().find(({ vmId }) => vmId === id)?.lease;
      if (lease === undefined) return undefined;
      return {
        address: lease.address,
        prefixLength: lease.subnet.prefixLength,
        gateway: gatewayOf(lease.subnet),
        bridge: network.bridge,
      };
    };

    return {
      provides: [provide(AddressesRef, { of: addressOf })],

      preflight: () => preflight(exec),

      preStart: async ({ vm, machine }, vmClaims) => {
        const lease = await network.lease(vmClaims);
        await network.ensureBridge(lease.subnet, vmClaims);
        const tap = await network.createTap(vmClaims);
        machine.nics.push({ id: 'net0', tap, mac: guestMac(vm.id) });
        machine.seed.address = `${lease.address}/${String(lease.subnet.prefixLength)}`;
        machine.seed.gateway = gatewayOf(lease.subnet);
        machine.seed.dns.push(...(config.dns.length > 0 ? config.dns : await hostResolvers()));
      },

      doctor: async () => {
        try {
          await preflight(exec);
          return [{ id: 'tap', title: 'taps', status: 'ok', detail: '/dev/net/tun and privilege' }];
        } catch (thrown) {
          const { message, remedy } = toBangerError(thrown);
          return [{ id: 'tap', title: 'taps', status: 'error', detail: message, remedy }];
        }
      },

      describe: (vm) => {
        const address = addressOf(vm);
        const tap = claims
          .list({ scope: 'run', all: true })
          .find(({ ownerId }) => ownerId === vm.id)?.identity;
        return Promise.resolve({
          ...(address === undefined
            ? {}
            : { address: address.address, gateway: address.gateway, bridge: address.bridge }),
          mac: guestMac(vm.id),
          ...(tap?.kind === 'tap' ? { tap: tap.name } : {}),
        });
      },
    };
  },
});
