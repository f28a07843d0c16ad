import { createHash } from 'node:crypto';
import {
  BangerError,
  newToken,
  type Claims,
  type Executor,
  type Instance,
} from '../../core/plugin-api/index.ts';
import type { NetworkIdentity, NetworkObserved } from './identity.ts';
import { findLink, ipBatch, routeDestinations } from './links.ts';
import { hostResolvers } from './resolvers.ts';
import {
  chooseSubnet,
  gatewayOf,
  guestAddresses,
  occupied,
  overlaps,
  parseSubnet,
  type Subnet,
} from './subnet.ts';

export type NetworkClaims = Claims<NetworkIdentity, NetworkObserved>;

export interface NetworkOptions {
  readonly exec: Executor;
  readonly instance: Instance;
  readonly directory: string;
  /** `auto` or an IPv4 network. */
  readonly subnet: string;
  /** The daemon's own: sees leases of all VMs. */
  readonly claims: NetworkClaims;
}

export interface Lease {
  readonly subnet: Subnet;
  readonly address: string;
}

const leaseOf = (identity: NetworkIdentity): Lease | undefined =>
  identity.kind === 'lease'
    ? { subnet: parseSubnet(identity.subnet), address: identity.address }
    : undefined;

/** The subnet, its leases, the bridge and the taps. */
export class Network {
  readonly #options: NetworkOptions;
  readonly bridge: string;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.bridge = options.instance.deviceName('br');
  }

  leases(): { readonly vmId: string; readonly lease: Lease }[] {
    return this.#options.claims.list({ scope: 'vm', all: true }).flatMap((claim) => {
      const lease = leaseOf(claim.identity);
      return lease === undefined || claim.ownerId === null ? [] : [{ vmId: claim.ownerId, lease }];
    });
  }

  /** What a guest network must not cover: routes of the host, but our own bridge's, and resolvers. */
  async #taken(): Promise<Subnet[]> {
    const { exec, claims } = this.#options;
    const own = claims
      .list({ scope: 'host' })
      .flatMap(({ identity }) => (identity.kind === 'bridge' ? [occupied(identity.address)] : []));
    const texts = [...(await routeDestinations(exec)), ...(await hostResolvers())];
    return texts
      .map(occupied)
      .filter((subnet) => subnet !== undefined)
      .filter((subnet) => !own.some((ours) => ours !== undefined && overlaps(ours, subnet)));
  }

  /**
   * One network for all VMs: the configured one, that of the bridge or of earlier leases, or a free one.
   * @throws BangerError NETWORK_UNAVAILABLE where it collides with the host's
   */
  async #subnet(): Promise<Subnet> {
    const { subnet, instance, claims } = this.#options;
    const [bridge] = claims.list({ scope: 'host' }).map(({ identity }) => identity);
    if (bridge?.kind === 'bridge') {
      const known = occupied(bridge.address);
      if (known !== undefined) return parseSubnet(bridge.address);
    }
    const taken = await this.#taken();
    const [first] = this.leases();
    const fixed = subnet === 'auto' ? first?.lease.subnet : parseSubnet(subnet);
    if (fixed === undefined) {
      const seed = createHash('sha256').update(instance.token).digest().readUInt32BE(0);
      return chooseSubnet(seed % (64 * 256), taken);
    }
    const clash = taken.find((other) => overlaps(fixed, other));
    if (clash !== undefined) {
      throw new BangerError(
        'NETWORK_UNAVAILABLE',
        `the guests' network ${fixed.cidr} collides with ${clash.cidr} of the host`,
        { remedy: 'Name a free network in config.toml: [tap-pool] subnet = "10.99.0.0/24".' },
      );
    }
    return fixed;
  }

  /** The VM's address: the one it has had, or the first free one. */
  async lease(claims: NetworkClaims): Promise<Lease> {
    const held = claims
      .list({ scope: 'vm' })
      .map(({ identity }) => leaseOf(identity))
      .find((lease) => lease !== undefined);
    if (held !== undefined) return held;
    const subnet = await this.#subnet();
    const used = new Set(this.leases().map(({ lease }) => lease.address));
    for (const address of guestAddresses(subnet)) {
      if (used.has(address)) continue;
      try {
        // The key is the lock: of two starts that want the same address one gets it.
        return await claims.acquire(
          {
            key: `lease:${address}`,
            scope: 'vm',
            identity: { kind: 'lease', subnet: subnet.cidr, address },
          },
          () => Promise.resolve({ value: { subnet, address } }),
        );
      } catch (error) {
        if (!(error instanceof BangerError && error.code === 'CLAIM_CONFLICT')) throw error;
      }
    }
    throw new BangerError('NETWORK_UNAVAILABLE', `no address of ${subnet.cidr} is free`, {
      remedy: 'Delete VMs, or name a larger network: [tap-pool] subnet = "10.99.0.0/16".',
    });
  }

  async #observe(name: string): Promise<{ observed: NetworkObserved }> {
    const link = await findLink(this.#options.exec, name);
    if (link === undefined) throw new BangerError('NETWORK_UNAVAILABLE', `link ${name} is gone`);
    return { observed: { ifindex: link.ifindex } };
  }

  /** The one bridge of this daemon. */
  async ensureBridge(subnet: Subnet, claims: NetworkClaims): Promise<void> {
    const { exec, directory, instance } = this.#options;
    const name = this.bridge;
    const token = newToken();
    const address = `${gatewayOf(subnet)}/${String(subnet.prefixLength)}`;
    await claims.ensure(
      { key: 'bridge', scope: 'host', token, identity: { kind: 'bridge', name, address } },
      async (signal) => {
        if ((await findLink(exec, name)) !== undefined)
          throw new BangerError('FOREIGN_OBJECT', `a link ${name} exists that is not ours`);
        await ipBatch(
          exec,
          directory,
          [
            // A fixed MAC: otherwise the bridge takes that of its lowest tap, which comes and goes.
            `link add name ${name} address ${bridgeMac(instance.token)} type bridge stp_state 0 forward_delay 0`,
            `link set dev ${name} alias ${instance.marker(token)}`,
            `address add ${address} dev ${name}`,
            `link set dev ${name} up`,
          ],
          signal,
        );
        return { value: undefined, ...(await this.#observe(name)) };
      },
    );
  }

  /** A tap of this run on the bridge, for QEMU as the daemon's own user. */
  async createTap(claims: NetworkClaims): Promise<string> {
    const { exec, directory, instance } = this.#options;
    const token = newToken();
    const name = instance.deviceName(token);
    return claims.acquire(
      {
        key: `tap:${name}`,
        scope: 'run',
        token,
        identity: { kind: 'tap', name, bridge: this.bridge },
      },
      async (signal) => {
        if ((await findLink(exec, name)) !== undefined)
          throw new BangerError('FOREIGN_OBJECT', `a link ${name} exists that is not ours`);
        await ipBatch(
          exec,
          directory,
          [
            `tuntap add dev ${name} mode tap vnet_hdr user ${String(process.getuid?.() ?? 0)}`,
            `link set dev ${name} alias ${instance.marker(token)} master ${this.bridge} up`,
          ],
          signal,
        );
        return { value: name, ...(await this.#observe(name)) };
      },
    );
  }
}

/** 0x02: locally administered, unicast (IEEE 802). */
const mac = (text: string): string =>
  ['02', ...createHash('sha256').update(text).digest('hex').slice(0, 10).match(/../g)!].join(':');

const bridgeMac = (instance: string): string => mac(`bridge ${instance}`);
export const guestMac = (vmId: string): string => mac(`guest ${vmId}`);
