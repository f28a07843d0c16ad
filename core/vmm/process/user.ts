import { createHash } from 'node:crypto';
import { BangerError } from '../../errors.ts';
import type { Instance } from '../../host/host.ts';
import type { VmmClaims } from './identity.ts';

/** Whom a VMM is: a user, the group of the same number, and groups by which it may open devices. */
export interface VmmUser {
  readonly uid: number;
  readonly groups: readonly number[];
}

/** How many numbers there are for VMs from the first on: as many as one user namespace has by custom. */
export const vmmUserCount = 65_536;

/** In an order of each instance's own, so that two daemons seldom meet. */
const candidates = function* (base: number, instanceToken: string): Generator<number> {
  const start = createHash('sha256').update(instanceToken).digest().readUInt16BE();
  for (let index = 0; index < vmmUserCount; index++) yield base + ((start + index) % vmmUserCount);
};

/**
 * A number for a VM's VMM that no other VM's has: the one that it has, or the first that is free. The claim's key is the
 * number, so of two that want the same one the ledger lets one have it, and the other goes on to the next.
 * @param base the first number
 * @throws BangerError VM_RESOURCES when all are taken
 */
export const claimVmmUser = async (
  claims: VmmClaims,
  { token }: Pick<Instance, 'token'>,
  base: number,
): Promise<number> => {
  for (const claim of claims.list({ scope: 'vm' })) {
    if (claim.identity.kind !== 'user') continue;
    const { uid } = claim.identity;
    if (uid >= base && uid < base + vmmUserCount) return uid;
    // Of another range, which is not the daemon's any more.
    await claims.release(claim);
  }
  const taken = new Set(claims.list({ scope: 'vm', all: true }).map(({ key }) => key));
  for (const uid of candidates(base, token)) {
    const key = `user:${String(uid)}`;
    if (taken.has(key)) continue;
    try {
      await claims.acquire({ key, scope: 'vm', identity: { kind: 'user', uid } }, () =>
        Promise.resolve({ value: undefined }),
      );
      return uid;
    } catch (error) {
      if (!(error instanceof BangerError && error.code === 'CLAIM_CONFLICT')) throw error;
    }
  }
  throw new BangerError(
    'VM_RESOURCES',
    `no user is left for a VMM, of ${String(vmmUserCount)} from ${String(base)} on`,
    { remedy: 'Delete VMs that you need no more; each keeps its user until then.' },
  );
};
