import { BangerError, type Claims } from '../../core/plugin-api/index.ts';
import type { LeaseIdentity, TapPoolIdentity, TapPoolObserved } from './identity.ts';
import { guestAddresses } from './subnet.ts';

type Ledger = Claims<TapPoolIdentity, TapPoolObserved>;

/**
 * The VM's address: the one that it has, or the lowest free one. The claim's key is the address, so of two
 * that want the same one the ledger lets one have it, and the other goes on to the next.
 * @throws BangerError NETWORK_UNAVAILABLE when all are taken
 */
export const leaseAddress = async (claims: Ledger, subnet: string): Promise<LeaseIdentity> => {
  for (const { identity } of claims.list({ scope: 'vm' }))
    if (identity.kind === 'lease') return identity;
  const taken = new Set(claims.list({ scope: 'vm', all: true }).map(({ key }) => key));
  for (const address of guestAddresses(subnet)) {
    const key = `lease:${address}`;
    if (taken.has(key)) continue;
    const identity: LeaseIdentity = { kind: 'lease', subnet, address };
    try {
      await claims.acquire({ key, scope: 'vm', identity }, () =>
        Promise.resolve({ value: undefined }),
      );
      return identity;
    } catch (error) {
      if (!(error instanceof BangerError && error.code === 'CLAIM_CONFLICT')) throw error;
    }
  }
  throw new BangerError('NETWORK_UNAVAILABLE', `no address is left in ${subnet}`, {
    remedy: 'Delete VMs that you need no more; each keeps its address until then.',
  });
};
