import type { Claim, Found } from '../claim.ts';
import { messageOf } from '../errors.ts';
import { decodeClaim } from './codec.ts';
import type { Ledger, LedgerMember } from './ledger.ts';
import type { ClaimRow } from './rows.ts';

/**
 * `orphan`: ours on the host, and no claim knows it · `gone`: a held claim whose object is not there ·
 * `unreadable`: a claim that this program cannot read · `unseen`: a capability that could not be looked at.
 */
export type Leak =
  | { readonly kind: 'orphan'; readonly member: LedgerMember; readonly found: Found }
  | { readonly kind: 'gone'; readonly member: LedgerMember; readonly claim: Claim }
  | { readonly kind: 'unreadable'; readonly row: ClaimRow; readonly why: string }
  | { readonly kind: 'unseen'; readonly member: LedgerMember; readonly why: string };

const keyOf = (leak: Leak): string => {
  switch (leak.kind) {
    case 'orphan':
      return `${leak.member.capability.id} ${leak.found.token} ${leak.found.description}`;
    case 'gone':
      return leak.claim.id;
    case 'unreadable':
      return leak.row.id;
    case 'unseen':
      return leak.member.capability.id;
  }
};

const look = async (ledger: Ledger): Promise<Leak[]> => {
  const { members, rows: before } = ledger.survey();
  const found = await Promise.all(
    members.map(async ({ capability, host }) => {
      try {
        return (await capability.teardown?.scan(host)) ?? [];
      } catch (error) {
        return messageOf(error);
      }
    }),
  );
  // After the scan: a claim is written before its object exists, so what has none by now never had.
  const known = new Set(ledger.survey().rows.map((row) => `${row.capability} ${row.token}`));
  return members.flatMap((member, index): Leak[] => {
    const objects = found[index] ?? [];
    const rows = before.filter((row) => row.capability === member.capability.id);
    if (typeof objects === 'string') return [{ kind: 'unseen', member, why: objects }];
    const tokens = new Set(objects.map(({ token }) => token));
    return [
      ...objects
        .filter(({ token }) => !known.has(`${member.capability.id} ${token}`))
        .map((object) => ({ kind: 'orphan' as const, member, found: object })),
      ...rows.flatMap((row): Leak[] => {
        if (row.state !== 'held') return [];
        try {
          const claim = decodeClaim(row, member.capability);
          const hasObject = member.capability.teardown?.hasObject?.(claim.identity) ?? true;
          return hasObject && !tokens.has(row.token) ? [{ kind: 'gone', member, claim }] : [];
        } catch (error) {
          return [{ kind: 'unreadable', row, why: messageOf(error) }];
        }
      }),
    ];
  });
};

/** Rows of capabilities that are not installed: nobody can tell what they are of. */
const unowned = (ledger: Ledger): Leak[] => {
  const { members, rows } = ledger.survey();
  const installed = new Set(members.map(({ capability }) => capability.id));
  return rows
    .filter((row) => !installed.has(row.capability))
    .map((row) => ({
      kind: 'unreadable',
      row,
      why: `claim ${row.id} belongs to capability '${row.capability}', which is not installed`,
    }));
};

/**
 * What the ledger and the host disagree about. Operations go on meanwhile, so only what two looks in a row find
 * is a leak. Nothing is changed.
 */
export const findLeaks = async (ledger: Ledger): Promise<Leak[]> => {
  const suspects = new Set((await look(ledger)).map(keyOf));
  const confirmed =
    suspects.size === 0 ? [] : (await look(ledger)).filter((leak) => suspects.has(keyOf(leak)));
  return [...confirmed, ...unowned(ledger)];
};
