import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { Found, Reconciled } from '../claim.ts';
import type { Teardown } from '../capability.ts';
import { BangerError } from '../errors.ts';
import type { Host } from './host.ts';

/** What tells a file or folder of ours from another one at the same path; decimal, 64 bits each. */
export const pathObserved = z.object({ dev: z.string(), ino: z.string() });
export type PathObserved = z.output<typeof pathObserved>;

/** Of what stands there itself: a link to one of our files is not our file. */
const statOrUndefined = async (path: string): Promise<PathObserved | undefined> => {
  try {
    const { dev, ino } = await lstat(path, { bigint: true });
    return { dev: String(dev), ino: String(ino) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

/** To be committed with `held`. */
export const observePath = async (path: string): Promise<PathObserved> => {
  const found = await statOrUndefined(path);
  if (found === undefined) throw new Error(`${path} is not there`);
  return found;
};

interface PathClaim {
  readonly token: string;
  readonly observed: PathObserved | undefined;
}

/**
 * Removes a file or a folder that a claim made in the capability's own folder. What was never observed
 * is known by the claim's token in its name.
 * @throws BangerError FOREIGN_OBJECT for anything else that stands at the path; it is left alone
 */
export const removeOwnedPath = async (
  path: string,
  claim: PathClaim,
  host: Host,
): Promise<void> => {
  const found = await statOrUndefined(path);
  if (found === undefined) return;
  const { observed } = claim;
  const isOurs =
    dirname(path) === host.directory &&
    (observed === undefined
      ? basename(path).includes(claim.token)
      : found.dev === observed.dev && found.ino === observed.ino);
  if (!isOurs)
    throw new BangerError('FOREIGN_OBJECT', `${path} is not what was made there; it stays`);
  await rm(path, { recursive: true, force: true });
};

export const reconcilePath = async (
  path: string,
  observed: PathObserved | undefined,
): Promise<Reconciled> => {
  const found = await statOrUndefined(path);
  const isSame = found !== undefined && found.dev === observed?.dev && found.ino === observed.ino;
  return isSame ? 'healthy' : 'lost';
};

const namesIn = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

/** All in the capability's folder whose name has a token: `pattern`'s first group. */
export const scanOwnedPaths = async <I>(
  host: Host,
  pattern: RegExp,
  identityOf?: (path: string) => I,
): Promise<Found<I>[]> =>
  (await namesIn(host.directory)).flatMap((name) => {
    const token = pattern.exec(name)?.[1];
    if (token === undefined) return [];
    const path = join(host.directory, name);
    const identity = identityOf?.(path);
    return [{ token, description: path, ...(identity === undefined ? {} : { identity }) }];
  });

/**
 * The whole teardown of a capability whose every claim is one file or folder, `identity.path`.
 * @param pattern of the names in its folder; the first group is the claim's token
 * @param identityOf where the name alone tells the identity
 */
export const ownedPathTeardown = <I extends { readonly path: string }>(
  pattern: RegExp,
  identityOf?: (path: string) => I,
): Teardown<I, PathObserved> => ({
  cleanup: (claim, host) => removeOwnedPath(claim.identity.path, claim, host),
  reconcile: ({ identity, observed }) => reconcilePath(identity.path, observed),
  scan: (host) => scanOwnedPaths(host, pattern, identityOf),
});
