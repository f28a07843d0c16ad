import { join } from 'node:path';
import {
  BangerError,
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type Claim,
  type Found,
  type Host,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import {
  asPath,
  type DiskIdentity,
  type LoopIdentity,
  type RootfsIdentity,
  type RootfsObserved,
  type TargetIdentity,
} from './identity.ts';
import { detachLoop, isBoundTo, loopsIn, namesIn } from './loops.ts';
import {
  listAllTargets,
  listTargets,
  parseTargetName,
  removeStaleNode,
  removeTarget,
  type Target,
} from './targets.ts';

type RootfsClaim = Claim<RootfsIdentity, RootfsObserved>;
type Of<I extends RootfsIdentity> = Claim<I, RootfsObserved>;

const isLoop = (claim: RootfsClaim): claim is Of<LoopIdentity> => claim.identity.kind === 'loop';
const isTarget = (claim: RootfsClaim): claim is Of<TargetIdentity> =>
  claim.identity.kind === 'target';

/** The claim's target out of those. @throws BangerError FOREIGN_OBJECT for another one of that name */
const ownTarget = (
  targets: readonly Target[],
  { identity, token }: Of<TargetIdentity>,
  host: Host,
): Target | undefined => {
  const { name } = identity;
  const found = targets.find((target) => target.name === name);
  if (found === undefined || found.uuid === host.instance.marker(token)) return found;
  throw new BangerError(
    'FOREIGN_OBJECT',
    `the device-mapper target ${name} does not have our UUID; it stays`,
    { remedy: `See it with \`dmsetup info ${name}\`; rename or remove it yourself.` },
  );
};

const cleanupTarget = async (claim: Of<TargetIdentity>, host: Host): Promise<void> => {
  const { name } = claim.identity;
  let own = ownTarget(await listTargets(), claim, host);
  // A dmsetup that was killed may have left one without a table, which sysfs does not show.
  if (own === undefined && claim.observed === undefined)
    own = ownTarget(await listAllTargets(host.exec), claim, host);
  if (own !== undefined) await removeTarget(name, host.exec);
  await removeStaleNode(name, host.exec);
};

/** A loop of that number over another file is another's: ours is gone. */
const cleanupLoop = async (claim: Of<LoopIdentity>, host: Host): Promise<void> => {
  const { number, path } = claim.identity;
  if (await isBoundTo(number, path, host.directory))
    await detachLoop(number, path, asPath(claim.observed), host.directory, host.exec);
};

const cleanup = async (claim: RootfsClaim, host: Host): Promise<void> => {
  // Another boot has none of the earlier one's devices.
  const isOfThisBoot = claim.bootId === host.bootId;
  if (isTarget(claim)) {
    if (isOfThisBoot) await cleanupTarget(claim, host);
    return;
  }
  if (isLoop(claim) && isOfThisBoot) await cleanupLoop(claim, host);
  const { path } = claim.identity as DiskIdentity | LoopIdentity;
  await removeOwnedPath(path, { ...claim, observed: asPath(claim.observed) }, host);
};

/** What a guest has open cannot be put back under it: it is there, or it is lost. */
const reconcile = async (claim: RootfsClaim, host: Host): Promise<Reconciled> => {
  if (isTarget(claim)) {
    try {
      return ownTarget(await listTargets(), claim, host) === undefined ? 'lost' : 'healthy';
    } catch (error) {
      if (error instanceof BangerError && error.code === 'FOREIGN_OBJECT') return 'lost';
      throw error;
    }
  }
  if (isLoop(claim)) {
    const { number, path } = claim.identity;
    return (await isBoundTo(number, path, host.directory)) ? 'healthy' : 'lost';
  }
  return reconcilePath((claim.identity as DiskIdentity).path, asPath(claim.observed));
};

const scanTargets = async (host: Host): Promise<Found<TargetIdentity>[]> => {
  const found = new Map<string, Found<TargetIdentity>>();
  const add = (name: string, token: string): void => {
    const of = parseTargetName(host.instance, name)?.of ?? 'snapshot';
    found.set(name, {
      token,
      description: `device-mapper target ${name}`,
      identity: { kind: 'target', name, of },
    });
  };
  const targets = await listTargets();
  for (const { name, uuid } of targets) {
    const token = host.instance.parseMarker(uuid);
    if (token !== undefined) add(name, token);
  }
  // Nodes of targets that are gone.
  for (const name of await namesIn('/dev/mapper')) {
    const own = parseTargetName(host.instance, name);
    if (own !== undefined && !targets.some((target) => target.name === name)) add(name, own.token);
  }
  // A snapshot stands on its base.
  const rank = ({ identity }: Found<TargetIdentity>): number => (identity?.of === 'base' ? 1 : 0);
  return [...found.values()].sort((one, other) => rank(one) - rank(other));
};

const loopName = /^loop-([a-z2-7]+)$/;

/** Bound ones by their file's name, also where the file is gone; and files that nothing is bound to. */
const scanLoops = async (host: Host): Promise<Found<RootfsIdentity>[]> => {
  const bound = await loopsIn(host.directory);
  const loops = [...bound].flatMap(([name, number]): Found<RootfsIdentity>[] => {
    const token = loopName.exec(name)?.[1];
    const path = join(host.directory, name);
    return token === undefined
      ? []
      : [
          {
            token,
            description: `loop device ${String(number)} over ${path}`,
            identity: { kind: 'loop', number, path },
          },
        ];
  });
  const links = await scanOwnedPaths<RootfsIdentity>(host, loopName, (path) => ({
    kind: 'disk',
    path,
    driver: 'copy',
  }));
  const tokens = new Set(loops.map(({ token }) => token));
  return [...loops, ...links.filter(({ token }) => !tokens.has(token))];
};

const driverOf = (path: string): DiskIdentity['driver'] => {
  if (path.endsWith('.qcow2')) return 'qcow2';
  // A raw disk does not tell whether it shares blocks; its removal needs no more than the path.
  return path.endsWith('.cow') ? 'dm-snapshot' : 'copy';
};

export const rootfsTeardown: Teardown<RootfsIdentity, RootfsObserved> = {
  cleanup,
  reconcile,
  scan: async (host) => [
    ...(await scanTargets(host)),
    ...(await scanLoops(host)),
    ...(await scanOwnedPaths<RootfsIdentity>(
      host,
      /^root-([a-z2-7]+)\.(?:raw|qcow2|cow)$/,
      (path) => ({ kind: 'disk', path, driver: driverOf(path) }),
    )),
  ],
};
