import { link } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  newToken,
  observePath,
  type Claim,
  type Claims,
  type Executor,
  type Instance,
} from '../../core/plugin-api/index.ts';
import { reviveCow } from './cow.ts';
import type { DiskSize } from './disk.ts';
import type { DiskIdentity, LoopIdentity, RootfsIdentity, RootfsObserved } from './identity.ts';
import { bindLoop, freeNumbers, isBoundTo, listLoops } from './loops.ts';
import { createBase, createSnapshot, listTargets, nodePath, targetName } from './targets.ts';

type RootfsClaims = Claims<RootfsIdentity, RootfsObserved>;

export const loopFile = (token: string): string => `loop-${token}`;

export interface SnapshotHost {
  readonly exec: Executor;
  readonly instance: Instance;
  readonly directory: string;
}

/** How often another program may be quicker to take the number. */
const maxAttempts = 32;

/**
 * Binds a file to a loop device on a number of our choice, by a link of its own. The number is the claim's key, so two
 * starts at once do not want the same one.
 */
const acquireLoop = async (
  file: string,
  readOnly: boolean,
  uses: readonly string[],
  claims: RootfsClaims,
  { exec, directory }: SnapshotHost,
): Promise<{ readonly claimId: string; readonly device: string }> => {
  const taken = new Set((await listLoops()).map(({ number }) => number));
  for (const { identity } of claims.list({ scope: 'run', all: true }))
    if (identity.kind === 'loop') taken.add(identity.number);
  let attempts = 0;
  for (const number of freeNumbers(taken)) {
    const token = newToken(8);
    const path = join(directory, loopFile(token));
    const identity: LoopIdentity = { kind: 'loop', number, path };
    try {
      await claims.acquire(
        { key: `loop:${String(number)}`, scope: 'run', token, identity, uses },
        async () => {
          await link(file, path);
          const observed = await observePath(path);
          await bindLoop(number, path, readOnly, exec);
          return { value: undefined, observed };
        },
      );
      return { claimId: `rootfs/loop:${String(number)}`, device: `/dev/loop${String(number)}` };
    } catch (error) {
      attempts++;
      if (!(await isTaken(number, path, directory, error)) || attempts === maxAttempts) throw error;
    }
  }
  throw new BangerError('VM_RESOURCES', 'no loop device is free', {
    remedy: 'See `losetup --list` for what has them.',
  });
};

/** By another claim of ours, or by another program; the claim that failed goes with the run. */
const isTaken = async (
  number: number,
  path: string,
  directory: string,
  error: unknown,
): Promise<boolean> => {
  if (!(error instanceof BangerError)) return false;
  if (error.code === 'CLAIM_CONFLICT') return true;
  return (
    error.code === 'COMMAND_FAILED' &&
    (await listLoops()).some((loop) => loop.number === number) &&
    !(await isBoundTo(number, path, directory))
  );
};

const acquireTarget = async (
  of: 'snapshot' | 'base',
  uses: readonly string[],
  claims: RootfsClaims,
  instance: Instance,
  create: (name: string, uuid: string) => Promise<void>,
): Promise<{ readonly claimId: string; readonly device: string; readonly name: string }> => {
  const token = newToken(8);
  const name = targetName(instance, token, of);
  const uuid = instance.marker(token);
  await claims.acquire(
    { key: `target:${name}`, scope: 'run', token, identity: { kind: 'target', name, of }, uses },
    async () => {
      // Not to be ended half-way by a cancelled start: it takes milliseconds.
      await create(name, uuid);
      const target = (await listTargets()).find((each) => each.uuid === uuid);
      if (target === undefined) throw new Error(`the target ${name} is not there`);
      return { value: undefined, observed: { device: target.device } };
    },
  );
  return { claimId: `rootfs/target:${name}`, device: nodePath(name), name };
};

/**
 * Puts the image and the disk's COW file together to the block device that the VMM gets. From below: two loops, where
 * the disk is larger than the image a base of both that and zeros, the snapshot.
 *
 * @param image the root file system's path; never written to
 * @returns the snapshot's name, and whether the COW file had run out of room in an earlier run
 */
export const activateSnapshot = async (
  disk: Claim<DiskIdentity, RootfsObserved>,
  image: string,
  size: DiskSize,
  claims: RootfsClaims,
  host: SnapshotHost,
  signal: AbortSignal,
): Promise<{ readonly target: string; readonly wasFull: boolean }> => {
  const { exec, instance } = host;
  const { path: cowPath } = disk.identity;
  const wasFull = await reviveCow(cowPath, host.directory);
  const imageLoop = await acquireLoop(image, true, [disk.id], claims, host);
  signal.throwIfAborted();
  const cowLoop = await acquireLoop(cowPath, false, [disk.id], claims, host);
  signal.throwIfAborted();
  const base =
    size.disk === size.image
      ? imageLoop
      : await acquireTarget('base', [imageLoop.claimId], claims, instance, (name, uuid) =>
          createBase(name, uuid, imageLoop.device, size.image, size.disk, exec),
        );
  signal.throwIfAborted();
  const { name } = await acquireTarget(
    'snapshot',
    [base.claimId, cowLoop.claimId],
    claims,
    instance,
    (name, uuid) => createSnapshot(name, uuid, base.device, cowLoop.device, size.disk, exec),
  );
  return { target: name, wasFull };
};
