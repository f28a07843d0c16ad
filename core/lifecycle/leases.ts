/** How long a new or adopted ephemeral VM waits for its client, milliseconds. */
const graceMs = 15_000;

/**
 * Which ephemeral VMs have a client. A lease is an open connection, so the kernel tells when its client
 * is gone, SIGKILL included.
 */
export class Leases {
  readonly #held = new Map<string, number>();
  readonly #grace = new Map<string, NodeJS.Timeout>();
  readonly #onLost: (vmId: string) => void;
  #closed = false;

  constructor(onLost: (vmId: string) => void) {
    this.#onLost = onLost;
  }

  /** A client is about to come; without one the VM is lost after the grace. */
  expect(vmId: string): void {
    this.#clear(vmId);
    const timer = setTimeout(() => {
      this.#grace.delete(vmId);
      if (!this.#held.has(vmId)) this.#onLost(vmId);
    }, graceMs);
    timer.unref();
    this.#grace.set(vmId, timer);
  }

  /** @returns to be called once, when the connection has closed */
  take(vmId: string): () => void {
    this.#clear(vmId);
    this.#held.set(vmId, (this.#held.get(vmId) ?? 0) + 1);
    return () => {
      const left = (this.#held.get(vmId) ?? 1) - 1;
      if (left > 0) {
        this.#held.set(vmId, left);
        return;
      }
      this.#held.delete(vmId);
      if (!this.#closed) this.#onLost(vmId);
    };
  }

  forget(vmId: string): void {
    this.#clear(vmId);
    this.#held.delete(vmId);
  }

  /** The daemon stops: clients that it cuts off are not gone. */
  close(): void {
    this.#closed = true;
    for (const vmId of this.#grace.keys()) this.#clear(vmId);
  }

  #clear(vmId: string): void {
    clearTimeout(this.#grace.get(vmId));
    this.#grace.delete(vmId);
  }
}
