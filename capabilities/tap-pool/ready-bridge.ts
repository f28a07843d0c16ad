import {
  BangerError,
  type Claim,
  type Claims,
  type Host,
  type Instance,
} from '../../core/plugin-api/index.ts';
import { bridgeKey, bridgeToken, createBridge } from './bridge.ts';
import type { BridgeIdentity, TapPoolIdentity, TapPoolObserved } from './identity.ts';
import { listLinks } from './links.ts';
import { listOccupied } from './occupied.ts';
import {
  chooseSubnet,
  collisionOf,
  gatewayWithPrefix,
  networkOf,
  type Occupied,
} from './subnet.ts';
import { reconcile } from './teardown.ts';

export type BridgeClaim = Claim<BridgeIdentity, TapPoolObserved>;
type Ledger = Claims<TapPoolIdentity, TapPoolObserved>;

interface Options {
  /** `auto` or a network. */
  readonly subnet: string;
  /** The daemon's own: the bridge outlives the start that makes it, also one that is cancelled. */
  readonly claims: Ledger;
  readonly host: Omit<Host, 'bootId'>;
}

const isBridge = (claim: Claim<TapPoolIdentity, TapPoolObserved>): claim is BridgeClaim =>
  claim.identity.kind === 'bridge';

/** The bridge, made where it is absent and mended where it is not as it was. One flight at a time. */
export const createReadyBridge = (options: Options): (() => Promise<BridgeClaim>) => {
  let flight: Promise<BridgeClaim> | undefined;
  return () => (flight ??= readyBridge(options).finally(() => (flight = undefined)));
};

const readyBridge = async ({ subnet, claims, host }: Options): Promise<BridgeClaim> => {
  const held = claims.list({ scope: 'host' }).find(isBridge);
  const ofHeld = held === undefined ? undefined : networkOf(held.identity.address);
  const leased = leasedSubnet(claims);
  if (leased !== undefined && subnet !== 'auto' && subnet !== leased) {
    throw new BangerError('NETWORK_UNAVAILABLE', `VMs have addresses in ${leased}, not ${subnet}`, {
      remedy: `Delete those VMs, or set subnet = "${leased}" in [tap-pool].`,
    });
  }
  const wanted = subnet === 'auto' ? (leased ?? ofHeld) : subnet;
  if (held !== undefined) {
    // A held bridge is of this boot: recovery has dropped any other.
    const found = await reconcile(held, { ...host, bootId: held.bootId });
    if (ofHeld === wanted && found !== 'lost') return held;
    await claims.release(held);
  }
  const name = host.instance.deviceName(bridgeToken);
  const links = await listLinks(host.exec);
  // Before the intent: from then on our name counts as proof that the device is ours.
  if (links.some((link) => link.name === name)) {
    throw new BangerError('FOREIGN_OBJECT', `a network device ${name} exists that is not ours`, {
      remedy: `See it with \`ip -d link show ${name}\`, and remove it yourself.`,
    });
  }
  const occupied = await listOccupied(host.exec, links);
  const address = gatewayWithPrefix(settleSubnet(wanted, occupied, host.instance));
  const identity = { kind: 'bridge' as const, name, address };
  const claim = await claims.ensure(
    { key: bridgeKey, scope: 'host', token: bridgeToken, identity },
    async () => ({
      value: undefined,
      observed: await createBridge(identity, host.instance.marker(bridgeToken), {
        ...host,
        token: bridgeToken,
      }),
    }),
  );
  if (!isBridge(claim)) throw new Error(`${claim.id} is not a bridge`);
  return claim;
};

/** VMs keep their addresses, also when the bridge is gone (after a reboot, or with the daemon). */
const leasedSubnet = (claims: Ledger): string | undefined => {
  for (const { identity } of claims.list({ scope: 'vm', all: true }))
    if (identity.kind === 'lease') return identity.subnet;
  return undefined;
};

/** @throws BangerError NETWORK_UNAVAILABLE, which names what is in the way */
const settleSubnet = (
  wanted: string | undefined,
  occupied: readonly Occupied[],
  instance: Instance,
): string => {
  if (wanted === undefined) {
    const chosen = chooseSubnet(instance.token, occupied);
    if (chosen !== undefined) return chosen;
    throw new BangerError('NETWORK_UNAVAILABLE', 'the host’s routes leave no private /24 free', {
      remedy: 'Set `subnet` in [tap-pool] of config.toml to a network that guests may have.',
    });
  }
  const collision = collisionOf(wanted, occupied);
  if (collision === undefined) return wanted;
  throw new BangerError(
    'NETWORK_UNAVAILABLE',
    `the guests’ subnet ${wanted} collides with ${collision.by}`,
    {
      remedy:
        'Remove that, or set another `subnet` in [tap-pool] of config.toml; VMs that have addresses in the old one must be deleted first.',
    },
  );
};
