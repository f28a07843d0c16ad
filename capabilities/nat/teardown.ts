import {
  type Claim,
  type Found,
  type Host,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import { isForwarding, setForwarding } from './forwarding.ts';
import type { NatIdentity } from './identity.ts';
import { addition, deletion, restore, rulesPerVm, savedRules } from './rules.ts';

type NatClaim = Claim<NatIdentity, never>;

const rulesOf = async (claim: NatClaim, host: Host) => {
  const marker = host.instance.marker(claim.token);
  return (await savedRules(host.exec)).filter(({ comment }) => comment === marker);
};

const removeRules = async (claim: NatClaim, host: Host): Promise<void> => {
  const rules = await rulesOf(claim, host);
  if (rules.length > 0) await restore(host.exec, host.directory, deletion(rules));
};

/** Back off, unless someone switched it off already or another daemon's guests need it. */
const restoreForwarding = async (device: string, host: Host): Promise<void> => {
  if ((await isForwarding(host.exec, device)) !== true) return;
  const others = (await savedRules(host.exec)).filter(
    ({ comment }) =>
      comment.startsWith('banger:') && host.instance.parseMarker(comment) === undefined,
  );
  if (others.length === 0) await setForwarding(host.exec, [device], false);
  else host.log.info({ device }, 'forwarding stays on: guests of another daemon need it');
};

export const natTeardown: Teardown<NatIdentity, never> = {
  cleanup: (claim, host) =>
    claim.identity.kind === 'rules'
      ? removeRules(claim, host)
      : restoreForwarding(claim.identity.device, host),

  reconcile: async (claim, host): Promise<Reconciled> => {
    const { identity } = claim;
    if (identity.kind === 'forwarding') {
      const on = await isForwarding(host.exec, identity.device);
      if (on === undefined) return 'lost';
      if (on) return 'healthy';
      await setForwarding(host.exec, [identity.device], true);
      return 'repaired';
    }
    if ((await rulesOf(claim, host)).length === rulesPerVm) return 'healthy';
    // A firewall's reload has flushed them, or some.
    await removeRules(claim, host);
    const marker = host.instance.marker(claim.token);
    await restore(host.exec, host.directory, addition({ ...identity, marker }));
    return 'repaired';
  },

  scan: async (host): Promise<readonly Found<NatIdentity>[]> =>
    (await savedRules(host.exec)).flatMap(({ table, rule, comment }) => {
      const token = host.instance.parseMarker(comment);
      return token === undefined ? [] : [{ token, description: `iptables -t ${table} ${rule}` }];
    }),
};
