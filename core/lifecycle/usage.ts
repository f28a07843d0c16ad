/** What there is to say of one VM's use when somebody looks at it. Times are milliseconds of one clock. */
interface Look {
  readonly now: number;
  /** When it was used last, or when it was seen first. */
  readonly lastUseAt: number;
  /** Requests that work on it at this moment. */
  readonly open: number;
  /** Null: VMs are never stopped for want of use. */
  readonly afterMs: number | null;
}

/** Whether nobody has used it for so long that it is to be stopped. */
export const isUnused = ({ now, lastUseAt, open, afterMs }: Look): boolean =>
  afterMs !== null && open === 0 && now - lastUseAt >= afterMs;

/**
 * When each VM was used last, as docs/idle.md has it. In memory alone: after a restart of the daemon every VM counts as
 * just used. A request counts from its beginning to its end; what goes on inside the guest is told by whoever
 * looks there.
 */
export class Usage {
  readonly #clock: () => number;
  readonly #open = new Map<string, number>();
  readonly #lastUse = new Map<string, number>();

  /** @param clock milliseconds that go on at a steady rate; while the host sleeps nobody waits for a VM */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** @returns to be called when that use is over; more than once is the same as once */
  begin(vmId: string): () => void {
    this.#lastUse.set(vmId, this.#clock());
    this.#open.set(vmId, (this.#open.get(vmId) ?? 0) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.#open.get(vmId) ?? 1) - 1;
      if (left > 0) this.#open.set(vmId, left);
      else this.#open.delete(vmId);
      if (this.#lastUse.has(vmId)) this.#lastUse.set(vmId, this.#clock());
    };
  }

  /**
   * Somebody has looked into the guest.
   * @returns whether it has been unused for longer than `afterMs`
   */
  observe(vmId: string, isUsed: boolean, afterMs: number | null): boolean {
    const now = this.#clock();
    if (isUsed || !this.#lastUse.has(vmId)) this.#lastUse.set(vmId, now);
    const lastUseAt = this.#lastUse.get(vmId) ?? now;
    return isUnused({ now, lastUseAt, open: this.#open.get(vmId) ?? 0, afterMs });
  }

  /** It has ended: its next run begins as if it had just been used. */
  forget(vmId: string): void {
    this.#lastUse.delete(vmId);
  }
}
