import { BangerError } from '../errors.ts';
import type { Capability } from '../capability.ts';
import type { Claim } from '../claim.ts';
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

/** @throws BangerError INTERNAL for a row that this program cannot read */
export const decodeClaim = (row: ClaimRow, capability: Capability): Claim => {
  const codec = capability.identity;
  try {
    if (codec === undefined) throw new Error(`capability '${capability.id}' has no identity`);
    if (row.version > codec.version)
      throw new Error(`identity version ${String(row.version)} is newer than this program's`);
    const raw: unknown = JSON.parse(row.identity);
    const current = row.version === codec.version ? raw : codec.upgrade?.(raw, row.version);
    return {
      id: row.id,
      seq: row.seq,
      capability: row.capability,
      key: row.key,
      scope: row.scope,
      token: row.token,
      ownerId: row.owner_id,
      runId: row.run_id,
      identity: codec.schema.parse(current),
      observed: row.observed === null ? undefined : codec.observed?.parse(JSON.parse(row.observed)),
      uses: JSON.parse(row.uses) as string[],
      state: row.state,
      bootId: row.boot_id,
    };
  } catch (error) {
    throw new BangerError('INTERNAL', `claim ${row.id} cannot be read`, { cause: error });
  }
};
