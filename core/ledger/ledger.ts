import { BangerError, messageOf } from '../errors.ts';
import type { Capability, Teardown } from '../capability.ts';
import type { Allocate, Claim, Claims, Found, NewClaim, Reconciled, Scope } from '../claim.ts';
import type { Host } from '../host/host.ts';
import type { Logger } from '../log/logger.ts';
import { newToken } from '../token.ts';
import { decodeClaim, encodeIdentity, encodeObserved, outlineOf } from './codec.ts';
import type { ClaimRow, ClaimRows, RowFilter } from './rows.ts';

/** What the ledger knows of a capability: how to read its claims and how to undo them. */
export interface LedgerMember {
  readonly capability: Capability;
  readonly host: Host;
}

type AnyTeardown = Teardown<unknown, unknown>;

/** Whose claims these are: a VM's run, or the daemon itself. */
export interface Owner {
  readonly vmId: string;
  readonly runId: string;
  /** False: nobody unwinds what fails, so it is undone at once. */
  readonly isUnwound?: boolean;
}

export interface UnwindFailure {
  readonly claimId: string;
  readonly error: unknown;
}

export interface ReconciledClaim {
  readonly claimId: string;
  readonly scope: Scope;
  readonly found: Reconciled;
  /** Why it is not known. */
  readonly error?: string;
}

/**
 * Everything that is taken from the host is written down here before it exists, and undone by one path:
 * `unwind`. A claim whose allocation has not settled is never cleaned.
 */
export class Ledger {
  readonly #rows: ClaimRows;
  readonly #bootId: string;
  readonly #log: Logger;
  readonly #members = new Map<string, LedgerMember>();
  /** Runs that are being undone: a late acquire throws before it writes. */
  readonly #closed = new Set<string>();
  readonly #inFlight = new Map<string, Set<Promise<unknown>>>();
  readonly #ensuring = new Map<string, Promise<Claim>>();

  constructor(rows: ClaimRows, bootId: string, log: Logger) {
    this.#rows = rows;
    this.#bootId = bootId;
    this.#log = log;
  }

  install(member: LedgerMember): void {
    this.#members.set(member.capability.id, member);
  }

  /** The claims door of one capability; with an owner for hooks, without for host and store claims. */
  bind(capability: Capability, owner: Owner | null, signal: AbortSignal): Claims {
    return {
      acquire: (claim, allocate) => this.#acquire(capability, owner, signal, claim, allocate),
      ensure: (claim, allocate) => this.#ensure(capability, owner, signal, claim, allocate),
      take: (accept) => {
        if (owner === null) throw new Error('only a run takes claims');
        for (const row of this.#held(capability, { ownerId: null, scopes: ['host'] })) {
          if (accept(row.claim) && this.#rows.take(row.row, owner.vmId, owner.runId))
            return this.#reread(capability, row.row);
        }
        return undefined;
      },
      list: (filter = {}) =>
        this.#held(capability, {
          ...(filter.all === true ? {} : { ownerId: owner?.vmId ?? null }),
          ...(filter.scope === undefined ? {} : { scopes: [filter.scope] }),
        }).map(({ claim }) => claim),
      release: async (claim) => {
        const row = this.#rows.byKey(capability.id, claim.key);
        if (row?.seq === claim.seq) await this.#release(row);
      },
    };
  }

  /** Held claims that can be read; one that cannot is reported by unwind and reconcile. */
  #held(capability: Capability, filter: RowFilter): { row: ClaimRow; claim: Claim }[] {
    return this.#rows
      .select({ ...filter, capability: capability.id, states: ['held'] })
      .flatMap((row) => {
        try {
          return [{ row, claim: decodeClaim(row, capability) }];
        } catch (error) {
          this.#log.error({ claim: row.id, error: messageOf(error) }, 'unreadable claim');
          return [];
        }
      });
  }

  #reread(capability: Capability, row: ClaimRow): Claim {
    const now = this.#rows.byKey(row.capability, row.key);
    if (now === undefined) throw new Error(`claim ${row.id} is gone`);
    return decodeClaim(now, capability);
  }

  async #acquire<T>(
    capability: Capability,
    owner: Owner | null,
    signal: AbortSignal,
    claim: NewClaim<unknown>,
    allocate: Allocate<T, unknown>,
  ): Promise<T> {
    const ownerless = claim.scope === 'host' || claim.scope === 'store';
    const claimant = ownerless ? null : owner;
    if (!ownerless && owner === null)
      throw new Error(`a claim of scope ${claim.scope} needs a VM: ${claim.key}`);
    if (owner !== null && this.#closed.has(owner.runId))
      throw new BangerError(
        'CLAIMS_CLOSED',
        `${capability.id}/${claim.key}: the run is being undone`,
      );
    const inserted = this.#rows.insert({
      capability: capability.id,
      key: claim.key,
      token: claim.token ?? newToken(),
      scope: claim.scope,
      owner_id: claimant?.vmId ?? null,
      run_id: claim.scope === 'run' || claim.scope === 'op' ? (claimant?.runId ?? null) : null,
      ...encodeIdentity(capability, claim.identity),
      uses: JSON.stringify(claim.uses ?? []),
      boot_id: this.#bootId,
    });
    if ('unheld' in inserted) {
      throw new BangerError(
        'CLAIM_CONFLICT',
        `${capability.id}/${claim.key} needs ${inserted.unheld.join(', ')}, which is not there`,
      );
    }
    if ('taken' in inserted) {
      throw new BangerError(
        'CLAIM_CONFLICT',
        `${inserted.taken.id} is taken (${inserted.taken.state}, owner ${inserted.taken.owner_id ?? 'daemon'})`,
      );
    }
    const { row } = inserted;
    const allocation = (async () => {
      const { value, observed } = await allocate(signal);
      this.#rows.held(row, encodeObserved(capability, observed));
      return value;
    })();
    this.#track(owner?.runId ?? '', allocation);
    if (claimant !== null && claimant.isUnwound !== false) return allocation;
    // No run will unwind this one, so what failed is undone here, by the same path.
    try {
      return await allocation;
    } catch (error) {
      await this.#release(row).catch((leak: unknown) => {
        this.#log.error({ claim: row.id, error: messageOf(leak) }, 'claim could not be undone');
      });
      throw error;
    }
  }

  #track(runId: string, allocation: Promise<unknown>): void {
    const set = this.#inFlight.get(runId) ?? new Set();
    this.#inFlight.set(runId, set);
    const settled = allocation.then(
      () => undefined,
      () => undefined,
    );
    set.add(settled);
    void settled.then(() => {
      set.delete(settled);
      if (set.size === 0) this.#inFlight.delete(runId);
    });
  }

  #ensure(
    capability: Capability,
    owner: Owner | null,
    signal: AbortSignal,
    claim: NewClaim<unknown>,
    allocate: Allocate<void, unknown>,
  ): Promise<Claim> {
    const id = `${capability.id}/${claim.key}`;
    const pending = this.#ensuring.get(id);
    if (pending !== undefined) return pending;
    const flight = (async () => {
      const existing = this.#rows.byKey(capability.id, claim.key);
      if (existing?.state === 'held') return decodeClaim(existing, capability);
      if (existing !== undefined) await this.#release(existing);
      await this.#acquire(capability, owner, signal, claim, allocate);
      const row = this.#rows.byKey(capability.id, claim.key);
      if (row === undefined) throw new Error(`claim ${id} is gone`);
      return decodeClaim(row, capability);
    })().finally(() => this.#ensuring.delete(id));
    this.#ensuring.set(id, flight);
    return flight;
  }

  /** Any claim's end: cleanup, then the row goes. @throws BangerError CLAIM_IN_USE */
  async #release(row: ClaimRow): Promise<void> {
    const member = this.#members.get(row.capability);
    const teardown = member?.capability.teardown;
    if (member === undefined || teardown === undefined) {
      throw new BangerError(
        'CAPABILITY_UNKNOWN',
        `claim ${row.id} belongs to capability '${row.capability}', which is not installed`,
      );
    }
    const claims = await this.#recall(row, member, teardown);
    const users = this.#rows.releasing(row);
    if (users.length > 0)
      throw new BangerError('CLAIM_IN_USE', `${row.id} is used by ${users.join(', ')}`);
    for (const claim of claims) await teardown.cleanup(claim, member.host);
    this.#rows.remove(row);
  }

  /**
   * What a row is of. One that is damaged names its object still, by the token; none: the object is not there.
   * @throws BangerError CLAIM_TOO_NEW; CLAIM_UNREADABLE where the object does not tell enough to be removed
   */
  async #recall(row: ClaimRow, member: LedgerMember, teardown: AnyTeardown): Promise<Claim[]> {
    try {
      return [decodeClaim(row, member.capability)];
    } catch (error) {
      if (!(error instanceof BangerError) || error.code !== 'CLAIM_UNREADABLE') throw error;
      this.#log.error({ claim: row.id, err: error }, 'unreadable claim: looking for its object');
      const found = await teardown.scan(member.host);
      return found
        .filter(({ token }) => token === row.token)
        .map(({ identity }) => {
          if (identity === undefined) throw error;
          return { ...outlineOf(row), identity, observed: undefined, uses: [] };
        });
    }
  }

  /** Removes an object that no claim knows: it is claimed first, so that a crash in between leaves it known. */
  async releaseOrphan(capability: Capability, found: Found): Promise<void> {
    if (found.identity === undefined) {
      throw new BangerError(
        'CLAIM_UNREADABLE',
        `${found.description} does not tell enough of itself to be removed`,
        { remedy: 'Remove it by hand.' },
      );
    }
    const inserted = this.#rows.insert({
      capability: capability.id,
      key: `leak:${found.token}`,
      token: found.token,
      scope: 'host',
      owner_id: null,
      run_id: null,
      ...encodeIdentity(capability, found.identity),
      uses: '[]',
      boot_id: this.#bootId,
    });
    if (!('row' in inserted))
      throw new BangerError('CLAIM_CONFLICT', `${found.description} is being removed already`);
    try {
      await this.#release(inserted.row);
    } catch (error) {
      // It is there as before, and is to be found as what it is.
      this.#rows.remove(inserted.row);
      throw error;
    }
  }

  /** One claim by its id. @throws BangerError what keeps it from being released */
  async release(claimId: string): Promise<void> {
    const row = this.#rows.byId(claimId);
    if (row !== undefined) await this.#release(row);
  }

  /** From now on an acquire of that run throws; returns when what was in flight has settled. */
  async closeRun(runId: string): Promise<void> {
    this.#closed.add(runId);
    await this.settle(runId);
  }

  /** Returns when nothing of that run is being made: what is cannot be undone yet. */
  async settle(runId: string): Promise<void> {
    for (;;) {
      const pending = this.#inFlight.get(runId);
      if (pending === undefined || pending.size === 0) break;
      await Promise.all(pending);
    }
  }

  /** The run is over and undone; its id never comes back. */
  forgetRun(runId: string): void {
    this.#closed.delete(runId);
  }

  /**
   * The only teardown path: rollback, stop, delete, recovery. Newest first; one claim's failure never
   * keeps the rest.
   * @param keep claims that are not this unwind's to release
   */
  async unwind(
    filter: RowFilter,
    keep: (row: ClaimRow) => boolean = () => false,
  ): Promise<UnwindFailure[]> {
    const failures: UnwindFailure[] = [];
    for (const row of this.#rows.select(filter).reverse()) {
      if (keep(row)) continue;
      try {
        await this.#release(row);
      } catch (error) {
        this.#log.error({ claim: row.id, error: messageOf(error) }, 'claim could not be released');
        failures.push({ claimId: row.id, error });
      }
    }
    return failures;
  }

  /** What the host's last boot took along: of all owners, so that nothing stands on what is gone. */
  unwindOtherBoots(): Promise<UnwindFailure[]> {
    return this.unwind({ scopes: ['op', 'run', 'host'] }, (row) => row.boot_id === this.#bootId);
  }

  /** Compares claims with the host, oldest first. Intents are not looked at: they are unwound. */
  async reconcile(filter: RowFilter): Promise<ReconciledClaim[]> {
    const answers: ReconciledClaim[] = [];
    for (const row of this.#rows.select({ ...filter, states: ['held'] })) {
      const member = this.#members.get(row.capability);
      const common = { claimId: row.id, scope: row.scope };
      try {
        const found = await member?.capability.teardown?.reconcile(
          decodeClaim(row, member.capability),
          member.host,
        );
        answers.push({ ...common, found: found ?? 'unknown' });
      } catch (error) {
        this.#log.error({ claim: row.id, err: error }, 'claim could not be reconciled');
        answers.push({ ...common, found: 'unknown', error: messageOf(error) });
      }
    }
    return answers;
  }

  count(filter: RowFilter): number {
    return this.#rows.select(filter).length;
  }

  /** What this daemon knows of: rows as they are, and who undoes them, in the order of installation. */
  survey(): { readonly rows: readonly ClaimRow[]; readonly members: readonly LedgerMember[] } {
    return { rows: this.#rows.select({}), members: [...this.#members.values()] };
  }
}
