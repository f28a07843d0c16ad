import { BangerError, messageOf } from '../errors.ts';
import type { Capability } from '../capability.ts';
import type { Allocate, Claim, Claims, NewClaim, Reconciled, Scope } from '../claim.ts';
import type { Host } from '../host/host.ts';
import type { Logger } from '../log/logger.ts';
import { newToken } from '../token.ts';
import { decodeClaim, encodeIdentity, encodeObserved } from './codec.ts';
import type { ClaimRow, ClaimRows, RowFilter } from './rows.ts';

/** What the ledger knows of a capability: how to read its claims and how to undo them. */
export interface LedgerMember {
  readonly capability: Capability;
  readonly host: Host;
}

/** Whose claims these are: a VM's run, or the daemon itself. */
export interface Owner {
  readonly vmId: string;
  readonly runId: string;
}

export interface UnwindFailure {
  readonly claimId: string;
  readonly error: unknown;
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
    if (!ownerless) return allocation;
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
    const claim = decodeClaim(row, member.capability);
    const users = this.#rows.releasing(row);
    if (users.length > 0)
      throw new BangerError('CLAIM_IN_USE', `${row.id} is used by ${users.join(', ')}`);
    await teardown.cleanup(claim, member.host);
    this.#rows.remove(row);
  }

  /** From now on an acquire of that run throws; returns when what was in flight has settled. */
  async closeRun(runId: string): Promise<void> {
    this.#closed.add(runId);
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

  /** Compares claims with the host, oldest first. Intents are not looked at: they are unwound. */
  async reconcile(
    filter: RowFilter,
  ): Promise<{ claimId: string; scope: Scope; found: Reconciled }[]> {
    const answers: { claimId: string; scope: Scope; found: Reconciled }[] = [];
    for (const row of this.#rows.select({ ...filter, states: ['held'] })) {
      const member = this.#members.get(row.capability);
      let found: Reconciled = 'unknown';
      try {
        if (member?.capability.teardown !== undefined) {
          found = await member.capability.teardown.reconcile(
            decodeClaim(row, member.capability),
            member.host,
          );
        }
      } catch (error) {
        this.#log.error(
          { claim: row.id, error: messageOf(error) },
          'claim could not be reconciled',
        );
      }
      answers.push({ claimId: row.id, scope: row.scope, found });
    }
    return answers;
  }

  count(filter: RowFilter): number {
    return this.#rows.select(filter).length;
  }
}
