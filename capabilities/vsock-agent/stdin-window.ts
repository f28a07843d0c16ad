/** Bytes of stdin that the guest may hold unacknowledged. */
export const STDIN_WINDOW = 262_144;

export class StdinWindow {
  #free = STDIN_WINDOW;
  #closed = false;
  #waiters: (() => void)[] = [];

  get closed(): boolean {
    return this.#closed;
  }

  /** Takes up to `wanted` bytes; waits for at least one. Zero once the window is closed. */
  async take(wanted: number): Promise<number> {
    while (this.#free === 0 && !this.#closed)
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (this.#closed) return 0;
    const taken = Math.min(wanted, this.#free);
    this.#free -= taken;
    return taken;
  }

  /** False where the guest acknowledges more than it was sent. */
  give(size: number): boolean {
    if (size > STDIN_WINDOW - this.#free) return false;
    this.#free += size;
    this.#wake();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
