// A guest's streams. Each carries one session at a time; they stay open between sessions.

import { AgentError } from './agent-error.ts';
import type { Connect } from './connect.ts';
import { Connection } from './connection.ts';

export interface Lease {
  readonly connection: Connection;
  release(): void;
}

interface Slot {
  readonly connect: Connect;
  connection?: Connection;
}

interface Waiter {
  take(slot: Slot): void;
  fail(error: Error): void;
}

export class ConnectionPool {
  readonly #free: Slot[];
  readonly #slots: readonly Slot[];
  readonly #waiters: Waiter[] = [];
  readonly #closed = new AbortController();

  constructor(connectors: readonly Connect[]) {
    if (connectors.length === 0) throw new RangeError('a pool needs a stream');
    this.#slots = connectors.map((connect) => ({ connect }));
    this.#free = [...this.#slots];
  }

  /** First come, first served. */
  async acquire(signal?: AbortSignal): Promise<Lease> {
    const slot = await this.#takeSlot(signal);
    try {
      const connection = await this.#connected(slot, signal);
      let leased = true;
      const release = (): void => {
        if (leased) this.#giveBack(slot);
        leased = false;
      };
      return { connection, release };
    } catch (error) {
      this.#giveBack(slot);
      throw error;
    }
  }

  /** Ends every session. */
  close(): void {
    const error = new AgentError('AGENT_LOST', 'the connection to the guest was closed');
    this.#closed.abort(error);
    for (const waiter of this.#waiters.splice(0)) waiter.fail(error);
    for (const slot of this.#slots) slot.connection?.destroy();
  }

  async #takeSlot(signal?: AbortSignal): Promise<Slot> {
    signal?.throwIfAborted();
    this.#closed.signal.throwIfAborted();
    // A slot that is connected first: a VM with eight ports and one user keeps one stream.
    const at = this.#free.findIndex((slot) => slot.connection?.usable);
    const [slot] = this.#free.splice(Math.max(at, 0), 1);
    if (slot) return slot;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        signal?.removeEventListener('abort', onAbort);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
      };
      const waiter: Waiter = {
        take: (given) => (leave(), resolve(given)),
        fail: (error) => (leave(), reject(error)),
      };
      const onAbort = (): void => waiter.fail(reasonOf(signal));
      signal?.addEventListener('abort', onAbort);
      this.#waiters.push(waiter);
    });
  }

  async #connected(slot: Slot, signal?: AbortSignal): Promise<Connection> {
    if (slot.connection?.usable) return slot.connection;
    const signals = signal ? [signal, this.#closed.signal] : [this.#closed.signal];
    const either = AbortSignal.any(signals);
    const stream = await slot.connect(either);
    if (either.aborted) {
      stream.destroy();
      throw either.reason;
    }
    slot.connection = new Connection(stream);
    return slot.connection;
  }

  #giveBack(slot: Slot): void {
    const waiter = this.#waiters.shift();
    if (waiter) waiter.take(slot);
    else this.#free.push(slot);
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error(String(reason));
}
