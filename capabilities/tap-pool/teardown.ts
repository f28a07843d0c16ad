import { rm } from 'node:fs/promises';
import {
  BangerError,
  type Claim,
  type Found,
  type Host,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import { batchPath } from './batch.ts';
import { createBridge, repairBridge } from './bridge.ts';
import type { BridgeIdentity, TapIdentity, TapPoolIdentity, TapPoolObserved } from './identity.ts';
import { listLinks, ownDevice, type Link } from './links.ts';
import { attachTap } from './tap.ts';

type Of<I extends TapPoolIdentity> = Claim<I, TapPoolObserved>;
type TapPoolClaim = Of<TapPoolIdentity>;
type Device = BridgeIdentity | TapIdentity;

const isDevice = (claim: TapPoolClaim): claim is Of<Device> => claim.identity.kind !== 'lease';
const isBridge = (claim: TapPoolClaim): claim is Of<BridgeIdentity> =>
  claim.identity.kind === 'bridge';

/** A lease is nothing but its claim. */
const cleanup = async (claim: TapPoolClaim, host: Host): Promise<void> => {
  if (!isDevice(claim)) return;
  await rm(batchPath(host.directory, claim.token), { force: true });
  if (ownDevice(await listLinks(host.exec), claim, host.instance) === undefined) return;
  await host.exec.run('ip', ['link', 'delete', 'dev', claim.identity.name], { privileged: true });
};

const reconcileBridge = async (
  { identity, token, bootId }: Of<BridgeIdentity>,
  link: Link | undefined,
  host: Host,
): Promise<Reconciled> => {
  const context = { ...host, token };
  if (link === undefined) {
    // After a reboot no guest is on it, and the next start makes a new one.
    if (bootId !== host.bootId) return 'lost';
    await createBridge(identity, host.instance.marker(token), context);
    return 'repaired';
  }
  if (link.isUp && link.addresses.includes(identity.address)) return 'healthy';
  await repairBridge(identity, context);
  return 'repaired';
};

/** A tap that is gone stays so: the VMM's descriptor is to the one that was. */
const reconcileTap = async (
  { identity, token }: Of<TapIdentity>,
  link: Link | undefined,
  host: Host,
): Promise<Reconciled> => {
  if (link === undefined) return 'lost';
  if (link.isUp && link.master === identity.bridge) return 'healthy';
  await attachTap(identity, { ...host, token });
  return 'repaired';
};

const cannotSay = new Set(['PRIVILEGE_UNAVAILABLE', 'TOOL_MISSING']);

export const reconcile = async (claim: TapPoolClaim, host: Host): Promise<Reconciled> => {
  if (!isDevice(claim)) return 'healthy';
  try {
    const link = ownDevice(await listLinks(host.exec), claim, host.instance);
    return await (isBridge(claim)
      ? reconcileBridge(claim, link, host)
      : reconcileTap(claim as Of<TapIdentity>, link, host));
  } catch (error) {
    if (!(error instanceof BangerError)) throw error;
    if (cannotSay.has(error.code)) return 'unknown';
    if (error.code === 'FOREIGN_OBJECT') return 'lost';
    throw error;
  }
};

/** A device's suffix is its claim's token, so one that lacks its marker is found as well. */
const scan = async (host: Host): Promise<readonly Found<TapPoolIdentity>[]> => {
  // The shortest suffix there is, cut off again.
  const prefix = host.instance.deviceName('a').slice(0, -1);
  return (await listLinks(host.exec))
    .filter(({ name }) => name.startsWith(prefix))
    .map((link) => {
      const identity = identityOf(link);
      return {
        token: host.instance.parseMarker(link.alias ?? '') ?? link.name.slice(prefix.length),
        description: `network device ${link.name}`,
        ...(identity === undefined ? {} : { identity }),
      };
    });
};

/** Enough to remove it: the teardown needs no more than the name. */
const identityOf = ({ name, kind, master, addresses }: Link): TapPoolIdentity | undefined => {
  if (kind === 'tun') return { kind: 'tap', name, bridge: master ?? '' };
  if (kind === 'bridge') return { kind: 'bridge', name, address: addresses[0] ?? '' };
  return undefined;
};

export const tapPoolTeardown: Teardown<TapPoolIdentity, TapPoolObserved> = {
  cleanup,
  reconcile,
  scan,
  hasObject: ({ kind }) => kind !== 'lease',
};
