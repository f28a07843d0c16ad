import type { z } from 'zod';

/**
 * `op` temporaries of one operation · `run` released on stop · `vm` released on delete ·
 * `host` the daemon's own, released when it stops with no VM running · `store` survives the daemon.
 */
export type Scope = 'op' | 'run' | 'vm' | 'host' | 'store';

export type ClaimState = 'intent' | 'held' | 'releasing';

/** One host object that a capability owns, with all that is needed to find and remove it. */
export interface Claim<I = unknown, O = unknown> {
  /** Equals `capability/key`. */
  readonly id: string;
  readonly seq: number;
  readonly capability: string;
  /** Unique within the capability: the key is also the allocator's lock. */
  readonly key: string;
  readonly scope: Scope;
  /** Random; it is also in the object's name or marker. */
  readonly token: string;
  /** The VM's id; null for `host` and `store`. */
  readonly ownerId: string | null;
  readonly runId: string | null;
  /** Chosen before allocation: enough to find the object and to prove that it is ours. */
  readonly identity: I;
  /** What the kernel told afterwards (pid and start time, dev:inode); absent while `intent`. */
  readonly observed: O | undefined;
  /** Ids of claims that must outlive this one. */
  readonly uses: readonly string[];
  readonly state: ClaimState;
  /** Of another boot: volatile objects are already gone. */
  readonly bootId: string;
}

export interface NewClaim<I> {
  readonly key: string;
  readonly scope: Scope;
  /** Default: a new random one. Give it when the object's name has to carry it (`newToken()`). */
  readonly token?: string;
  readonly identity: I;
  readonly uses?: readonly string[];
}

export interface Allocated<T, O> {
  readonly value: T;
  readonly observed?: O;
}

export type Allocate<T, O> = (signal: AbortSignal) => Promise<Allocated<T, O>>;

/** The only way to take something from the host. Bound to one capability and, in hooks, one VM. */
export interface Claims<I = unknown, O = unknown> {
  /**
   * Commits the intent, allocates, commits `held`. A failing `allocate` leaves the claim as
   * `intent`, for the unwind.
   * @throws BangerError CLAIM_CONFLICT (key taken), CLAIMS_CLOSED, CLAIM_IN_USE
   */
  acquire<T>(claim: NewClaim<I>, allocate: Allocate<T, O>): Promise<T>;
  /** As `acquire` for shared things: returns the held claim where there is one; one flight per key. */
  ensure(claim: NewClaim<I>, allocate: Allocate<void, O>): Promise<Claim<I, O>>;
  /** Moves the first accepted `host` claim to this run in one UPDATE. */
  take(accept: (claim: Claim<I, O>) => boolean): Claim<I, O> | undefined;
  /** Held claims of this capability, oldest first, of this VM unless `all`. */
  list(filter?: { readonly scope?: Scope; readonly all?: boolean }): readonly Claim<I, O>[];
  /** Runs cleanup, then removes the row. */
  release(claim: Claim<I, O>): Promise<void>;
}

/** An on-disk format. */
export interface IdentityCodec<I, O> {
  readonly version: number;
  readonly schema: z.ZodType<I>;
  readonly observed?: z.ZodType<O>;
  /** Turns an identity of an earlier version into the raw form of this one. */
  upgrade?(raw: unknown, from: number): unknown;
}

export type Reconciled = 'healthy' | 'repaired' | 'lost' | 'unknown';

/** One object on the host that carries our instance's token. */
export interface Found<I = unknown> {
  readonly token: string;
  readonly description: string;
  /** Where the object itself tells enough to remove it. */
  readonly identity?: I;
  /** Of something alive, where it tells itself which VM it is of: such a VM is never killed as a leak. */
  readonly vmId?: string;
}
