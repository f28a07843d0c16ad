import {
  AddressesRef,
  defineCapability,
  newToken,
  provide,
  toBangerError,
  z,
  type Addresses,
} from '../../core/plugin-api/index.ts';
import { bridgeToken } from './bridge.ts';
import { tapPoolIdentity, type LeaseIdentity, type TapIdentity } from './identity.ts';
import { leaseAddress } from './lease.ts';
import { macOf } from './mac.ts';
import { assertReady } from './preflight.ts';
import { createReadyBridge } from './ready-bridge.ts';
import { hostResolvers } from './resolvers.ts';
import { gatewayOf, isSubnet, networkOf, prefixLengthOf } from './subnet.ts';
import { createTap } from './tap.ts';
import { tapPoolTeardown } from './teardown.ts';

export const tapPoolCapability = defineCapability({
  id: 'tap-pool',
  summary: 'a bridge, and each VM’s tap and address on it',
  after: ['work-disk'],
  stage: 'network',
  optional: true,
  config: z.strictObject({
    /** `auto`: a private /24 that nothing on the host uses. */
    subnet: z
      .string()
      .refine((text) => text === 'auto' || isSubnet(text), {
        error: '"auto" or an IPv4 network of /16 to /29, such as "10.64.3.0/24"',
      })
      .default('auto'),
    /** Resolvers for guests; empty: the host's. */
    dns: z.array(z.ipv4()).default([]),
  }),
  identity: tapPoolIdentity,
  teardown: tapPoolTeardown,

  setup: ({ config, claims: own, exec, instance, directory, log }) => {
    const readyBridge = createReadyBridge({
      subnet: config.subnet,
      claims: own,
      host: { exec, instance, directory, log },
    });
    /** Of a VMM that has none of its own. */
    const ownUid = process.getuid?.() ?? 0;

    const ofVm = (vmId: string): { lease?: LeaseIdentity; tap?: TapIdentity } => {
      const found: { lease?: LeaseIdentity; tap?: TapIdentity } = {};
      for (const { ownerId, identity } of own.list({ all: true })) {
        if (ownerId !== vmId) continue;
        if (identity.kind === 'lease') found.lease = identity;
        if (identity.kind === 'tap') found.tap = identity;
      }
      return found;
    };
    const addresses: Addresses = {
      of: ({ id }) => {
        const { lease } = ofVm(id);
        if (lease === undefined) return undefined;
        const { address, subnet } = lease;
        const prefixLength = prefixLengthOf(subnet);
        return {
          address,
          prefixLength,
          gateway: gatewayOf(subnet),
          bridge: instance.deviceName(bridgeToken),
        };
      },
    };

    return {
      provides: [provide(AddressesRef, addresses)],

      preflight: () => assertReady(exec),

      preStart: async ({ machine, notice }, claims) => {
        const bridge = await readyBridge();
        const lease = await leaseAddress(claims, networkOf(bridge.identity.address));
        const token = newToken();
        const tap: TapIdentity = {
          kind: 'tap',
          name: instance.deviceName(token),
          bridge: bridge.identity.name,
        };
        await claims.acquire(
          { key: `tap:${tap.name}`, scope: 'run', token, identity: tap, uses: [bridge.id] },
          async (signal) => {
            const uid = machine.vmmUid ?? ownUid;
            const context = { exec, directory, token };
            const observed = await createTap(tap, instance.marker(token), uid, context, signal);
            return { value: undefined, observed };
          },
        );
        machine.nics.push({ id: 'net0', tap: tap.name, mac: macOf(lease.address) });
        machine.seed.address = `${lease.address}/${String(prefixLengthOf(lease.subnet))}`;
        machine.seed.gateway = gatewayOf(lease.subnet);
        const dns = config.dns.length > 0 ? config.dns : await hostResolvers();
        machine.seed.dns.push(...dns);
        if (dns.length === 0)
          notice('the host has no resolver that a guest can reach; set `dns` in [tap-pool]');
      },

      doctor: async () => {
        const check = { id: 'tap', title: 'taps' };
        try {
          await assertReady(exec);
          return [{ ...check, status: 'ok', detail: '/dev/net/tun and privilege' }];
        } catch (thrown) {
          const { message, remedy } = toBangerError(thrown);
          return [{ ...check, status: 'error', detail: message, remedy }];
        }
      },

      describe: ({ id }) => {
        const { lease, tap } = ofVm(id);
        return Promise.resolve({
          ...(lease === undefined ? {} : { address: lease.address, mac: macOf(lease.address) }),
          ...(tap === undefined ? {} : { tap: tap.name, bridge: tap.bridge }),
        });
      },
    };
  },
});
