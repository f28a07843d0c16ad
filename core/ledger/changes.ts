import { channel, tracingChannel } from 'node:diagnostics_channel';
import type Database from 'better-sqlite3';
import type { Scope } from '../claim.ts';

export type ClaimEdge = 'intent' | 'held' | 'take' | 'releasing' | 'removed';

/** What a subscriber of `banger:claim` gets with each event of the tracing channel. */
export interface ClaimChange {
  readonly capability: string;
  readonly key: string;
  readonly scope: Scope;
  readonly edge: ClaimEdge;
}

const changes = tracingChannel<string, ClaimChange>('banger:claim');
/** In the transaction, all written and nothing committed. */
const committing = channel('banger:claim:committing');

/** One change of one claim, as one transaction that logs and tests can follow. */
export const changing = <R>(database: Database.Database, change: ClaimChange, write: () => R): R =>
  changes.traceSync(
    () =>
      database.transaction(() => {
        const result = write();
        committing.publish(change);
        return result;
      })(),
    change,
  );
