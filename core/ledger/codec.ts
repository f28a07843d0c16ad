import { z } from 'zod';
import { BangerError } from '../errors.ts';
import type { Capability } from '../capability.ts';
import type { Claim, IdentityCodec } from '../claim.ts';
import type { ClaimRow } from './rows.ts';

/** @throws Error on what the capability's own schema refuses: a bug in the capability */
export const encodeIdentity = (
  capability: Capability,
  identity: unknown,
): { identity: string; version: number } => {
  if (capability.identity === undefined)
    throw new Error(`capability '${capability.id}' has no identity, so it cannot claim anything`);
  return {
    identity: JSON.stringify(capability.identity.schema.parse(identity)),
    version: capability.identity.version,
  };
};

export const encodeObserved = (capability: Capability, observed: unknown): string | null =>
  observed === undefined ? null : JSON.stringify(capability.identity?.observed?.parse(observed));

const readObserved = (
  text: string | null,
  codec: IdentityCodec<unknown, unknown>,
): Claim['observed'] => {
  if (text === null) return undefined;
  try {
    return codec.observed?.parse(JSON.parse(text));
  } catch (error) {
    // What was chosen before the allocation is enough to find the object and to prove that it is ours.
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
};

/** All of a claim but what it is of: a damaged row tells this much. */
export const outlineOf = (row: ClaimRow): Omit<Claim, 'identity' | 'observed' | 'uses'> => ({
  id: row.id,
  seq: row.seq,
  capability: row.capability,
  key: row.key,
  scope: row.scope,
  token: row.token,
  ownerId: row.owner_id,
  runId: row.run_id,
  state: row.state,
  bootId: row.boot_id,
});

/** @throws BangerError CLAIM_UNREADABLE; CLAIM_TOO_NEW for a version that this program does not know */
export const decodeClaim = (row: ClaimRow, capability: Capability): Claim => {
  const codec = capability.identity;
  try {
    if (codec === undefined) throw new Error(`capability '${capability.id}' has no identity`);
    if (row.version > codec.version) {
      throw new BangerError(
        'CLAIM_TOO_NEW',
        `claim ${row.id} has identity version ${String(row.version)}; this banger knows up to ${String(codec.version)}`,
      );
    }
    const raw: unknown = JSON.parse(row.identity);
    const current = row.version === codec.version ? raw : codec.upgrade?.(raw, row.version);
    return {
      ...outlineOf(row),
      identity: codec.schema.parse(current),
      observed: readObserved(row.observed, codec),
      uses: z.array(z.string()).parse(JSON.parse(row.uses)),
    };
  } catch (error) {
    if (error instanceof BangerError) throw error;
    throw new BangerError('CLAIM_UNREADABLE', `claim ${row.id} cannot be read`, { cause: error });
  }
};
