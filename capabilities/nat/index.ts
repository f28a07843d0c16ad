import {
  AddressesRef,
  BangerError,
  defineCapability,
  newToken,
  toBangerError,
  z,
  type Claims,
  type VmRecord,
} from '../../core/plugin-api/index.ts';
import { setForwarding } from './forwarding.ts';
import { natIdentity, type NatIdentity, type RulesIdentity } from './identity.ts';
import { applyRules, savedRules } from './iptables.ts';
import { vmRules } from './rules.ts';
import { natTeardown } from './teardown.ts';
import { createForwardUplinks } from './uplinks.ts';

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

  setup: ({ config, claims: own, exec, instance, directory, services }) => {
    const { addresses } = services;
    // Without taps there is nothing to translate, and so nothing that is needed.
    if (addresses === undefined) return {};

    const forwardUplinks = createForwardUplinks({
      configured: config.uplinks,
      exec,
      instance,
      directory,
      claims: own,
      newToken: () => newToken(8),
    });
    const assertReady = async (): Promise<void> => {
      await exec.require('ip', 'iptables', 'iptables-save', 'iptables-restore', 'sysctl');
      await exec.requirePrivilege();
    };

    const translate = async (vm: VmRecord, claims: Claims<NatIdentity, never>): Promise<void> => {
      const lease = addresses.of(vm);
      if (lease === undefined)
        throw new BangerError('NETWORK_UNAVAILABLE', `VM '${vm.name}' has no address to translate`);
      const { bridge, address } = lease;
      const identity: RulesIdentity = { kind: 'rules', bridge, address };
      const token = newToken(8);
      // Both are awaited by the ledger where one fails, so side by side is safe.
      await Promise.all([
        forwardUplinks(),
        claims.ensure({ key: vm.id, scope: 'run', token, identity }, async (signal) => {
          // The bridge's own switch goes with the bridge.
          await setForwarding(exec, bridge, true);
          const rules = vmRules(identity, instance.marker(token));
          await applyRules(rules, { exec, directory, token }, signal);
          return { value: undefined };
        }),
      ]);
    };

    return {
      preflight: ({ vm }) => (vm.nat ? assertReady() : Promise.resolve()),

      preStart: ({ vm }, claims) => (vm.nat ? translate(vm, claims) : Promise.resolve()),

      change: async ({ vm }, from, claims) => {
        if (vm.nat && from.nat) return [];
        if (vm.nat) {
          await assertReady();
          await translate(vm, claims);
        } else {
          // Also what one that failed half-way has made, though the run is said to have none.
          for (const claim of claims.list({ scope: 'run' })) await claims.release(claim);
        }
        return [{ field: 'nat' }];
      },

      // The default route may be another one than when the VM was started.
      resume: () => forwardUplinks(),

      doctor: async () => {
        const check = { id: 'iptables', title: 'iptables' };
        try {
          await assertReady();
          await savedRules(exec);
          return [{ ...check, status: 'ok', detail: 'rules can be read' }];
        } catch (thrown) {
          const { message, remedy } = toBangerError(thrown);
          return [{ ...check, status: 'error', detail: message, remedy }];
        }
      },
    };
  },
});
