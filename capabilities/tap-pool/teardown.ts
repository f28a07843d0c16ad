import {
  BangerError,
  type Claim,
  type Found,
  type Host,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { NetworkIdentity, NetworkObserved } from './identity.ts';
import { addressesOf, deleteLink, findLink, ipBatch, listLinks, type Link } from './links.ts';

type NetworkClaim = Claim<NetworkIdentity, NetworkObserved>;

/** Our name and, once `held`, our alias as well: between `add` and `alias` a crash leaves the name alone. */
const isOurs = (link: Link, claim: NetworkClaim, host: Host): boolean =>
  link.ifalias === host.instance.marker(claim.token) ||
  (claim.observed === undefined && link.ifalias === undefined);

const cleanup = async (claim: NetworkClaim, host: Host): Promise<void> => {
  const { identity } = claim;
  if (identity.kind === 'lease') return;
  const link = await findLink(host.exec, identity.name);
  if (link === undefined) return;
  if (!isOurs(link, claim, host)) {
    throw new BangerError(
      'FOREIGN_OBJECT',
      `link ${identity.name} does not carry the alias that it was given; it stays`,
    );
  }
  await deleteLink(host.exec, identity.name);
};

const reconcile = async (claim: NetworkClaim, host: Host): Promise<Reconciled> => {
  const { identity } = claim;
  if (identity.kind === 'lease') return 'healthy';
  const link = await findLink(host.exec, identity.name);
  if (link === undefined || !isOurs(link, claim, host)) return 'lost';
  if (identity.kind === 'tap') {
    if (link.master === identity.bridge) return 'healthy';
    await ipBatch(host.exec, host.directory, [
      `link set dev ${identity.name} master ${identity.bridge} up`,
    ]);
    return 'repaired';
  }
  if ((await addressesOf(host.exec, identity.name)).includes(identity.address)) return 'healthy';
  await ipBatch(host.exec, host.directory, [
    `address add ${identity.address} dev ${identity.name}`,
    `link set dev ${identity.name} up`,
  ]);
  return 'repaired';
};

export const networkTeardown: Teardown<NetworkIdentity, NetworkObserved> = {
  cleanup,
  reconcile,
  scan: async (host): Promise<readonly Found<NetworkIdentity>[]> => {
    const prefix = host.instance.deviceName('a').slice(0, -1);
    return (await listLinks(host.exec))
      .filter(({ ifname }) => ifname.startsWith(prefix))
      .map(({ ifname, ifalias }) => ({
        token: host.instance.parseMarker(ifalias ?? '') ?? ifname.slice(prefix.length),
        description: `link ${ifname}`,
      }));
  },
};
