import type Database from 'better-sqlite3';
import type { ClaimState, Scope } from '../claim.ts';
import type { Store } from '../store/store.ts';
import { changing, type ClaimEdge } from './changes.ts';

/** A claim as it is stored: readable even where its identity is not. */
export interface ClaimRow {
  readonly seq: number;
  readonly id: string;
  readonly capability: string;
  readonly key: string;
  readonly token: string;
  readonly scope: Scope;
  readonly owner_id: string | null;
  readonly run_id: string | null;
  readonly identity: string;
  readonly version: number;
  readonly observed: string | null;
  readonly uses: string;
  readonly state: ClaimState;
  readonly boot_id: string;
}

export type NewRow = Omit<ClaimRow, 'seq' | 'id' | 'observed' | 'state'>;

const isDurable = (scope: Scope): boolean => scope === 'vm' || scope === 'store';

export interface RowFilter {
  readonly ownerId?: string | null;
  readonly scopes?: readonly Scope[];
  readonly states?: readonly ClaimState[];
  readonly capability?: string;
}

/** The claim table, statement by statement. */
export class ClaimRows {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  #for(scope: Scope): Database.Database {
    return isDurable(scope) ? this.#store.durable : this.#store.volatile;
  }

  /** Ids out of `uses` that are not held; the row is inserted only when there are none. */
  insert(row: NewRow): { row: ClaimRow } | { unheld: string[] } | { taken: ClaimRow } {
    const database = this.#for(row.scope);
    return this.#change(row, 'intent', () => {
      const uses = JSON.parse(row.uses) as string[];
      const isHeld = database.prepare(`SELECT 1 FROM claim WHERE id = ? AND state = 'held'`);
      const unheld = uses.filter((id) => isHeld.get(id) === undefined);
      if (unheld.length > 0) return { unheld };
      const taken = this.byKey(row.capability, row.key);
      if (taken !== undefined) return { taken };
      const { lastInsertRowid } = database
        .prepare(
          `INSERT INTO claim (capability, key, token, scope, owner_id, run_id, identity, version, uses, state, boot_id)
           VALUES (@capability, @key, @token, @scope, @owner_id, @run_id, @identity, @version, @uses, 'intent', @boot_id)`,
        )
        .run(row);
      return { row: this.#bySeq(database, Number(lastInsertRowid)) };
    });
  }

  #change<R>(
    { capability, key, scope }: Pick<ClaimRow, 'capability' | 'key' | 'scope'>,
    edge: ClaimEdge,
    write: () => R,
  ): R {
    return changing(this.#for(scope), { capability, key, scope, edge }, write);
  }

  #bySeq(database: Database.Database, seq: number): ClaimRow {
    const row = database.prepare<[number], ClaimRow>('SELECT * FROM claim WHERE seq = ?').get(seq);
    if (row === undefined) throw new Error(`claim ${String(seq)} is gone`);
    return row;
  }

  byKey(capability: string, key: string): ClaimRow | undefined {
    return this.#store.volatile
      .prepare<[string, string], ClaimRow>('SELECT * FROM claim WHERE capability = ? AND key = ?')
      .get(capability, key);
  }

  byId(id: string): ClaimRow | undefined {
    return this.#store.volatile
      .prepare<[string], ClaimRow>('SELECT * FROM claim WHERE id = ?')
      .get(id);
  }

  /** Oldest first. */
  select(filter: RowFilter): ClaimRow[] {
    const where: string[] = [];
    const values: (string | null)[] = [];
    if (filter.ownerId !== undefined) {
      where.push('owner_id IS ?');
      values.push(filter.ownerId);
    }
    if (filter.capability !== undefined) {
      where.push('capability = ?');
      values.push(filter.capability);
    }
    for (const [column, list] of [
      ['scope', filter.scopes],
      ['state', filter.states],
    ] as const) {
      if (list === undefined) continue;
      where.push(`${column} IN (${list.map(() => '?').join(',')})`);
      values.push(...list);
    }
    const condition = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`;
    return this.#store.volatile
      .prepare<(string | null)[], ClaimRow>(`SELECT * FROM claim${condition} ORDER BY seq`)
      .all(...values);
  }

  held(row: ClaimRow, observed: string | null): void {
    this.#change(row, 'held', () => {
      this.#for(row.scope)
        .prepare(`UPDATE claim SET state = 'held', observed = ? WHERE seq = ?`)
        .run(observed, row.seq);
    });
  }

  /** The claims that use this one; it becomes `releasing` only when there are none. */
  releasing(row: ClaimRow): string[] {
    const database = this.#for(row.scope);
    return this.#change(row, 'releasing', () => {
      const users = database
        .prepare<[string], { id: string }>(
          // A row that is damaged must not keep all others from being released.
          `SELECT claim.id FROM claim, json_each(iif(json_valid(claim.uses), claim.uses, '[]')) AS used
           WHERE used.value = ?`,
        )
        .all(row.id)
        .map((user) => user.id);
      if (users.length === 0)
        database.prepare(`UPDATE claim SET state = 'releasing' WHERE seq = ?`).run(row.seq);
      return users;
    });
  }

  remove(row: ClaimRow): void {
    this.#change(row, 'removed', () => {
      this.#for(row.scope).prepare('DELETE FROM claim WHERE seq = ?').run(row.seq);
    });
  }

  /** host → run, in one statement: of two that want the same claim, one gets it. */
  take(row: ClaimRow, ownerId: string, runId: string): boolean {
    return this.#change(
      row,
      'take',
      () =>
        this.#store.volatile
          .prepare(
            `UPDATE claim SET scope = 'run', owner_id = ?, run_id = ?
             WHERE seq = ? AND scope = 'host' AND state = 'held'`,
          )
          .run(ownerId, runId, row.seq).changes === 1,
    );
  }
}
