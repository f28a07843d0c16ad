import { EventEmitter } from 'node:events';
import { v7 as uuidv7 } from 'uuid';
import type { Operation, OperationEvent } from '../api/contract/types.ts';
import { BangerError, toBangerError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Store } from '../store/store.ts';
import type { OperationContext, Progress } from './context.ts';

type Json = Operation['result'];

interface Row {
  id: string;
  kind: string;
  vm_id: string | null;
  vm_name: string | null;
  state: Operation['state'];
  started_at: string;
  ended_at: string | null;
  error: string | null;
  result: string | null;
}

const toOperation = (row: Row): Operation => ({
  id: row.id,
  kind: row.kind,
  vmId: row.vm_id,
  vmName: row.vm_name,
  state: row.state,
  startedAt: row.started_at,
  endedAt: row.ended_at,
  error: row.error === null ? null : (JSON.parse(row.error) as Operation['error']),
  result: row.result === null ? null : (JSON.parse(row.result) as Json),
});

/** An event before it has its number and time. */
type NewEvent = OperationEvent extends infer E
  ? E extends OperationEvent
    ? Omit<E, 'seq' | 'at'>
    : never
  : never;

/** Progress comes far faster than people read; at most this often (milliseconds). */
const progressIntervalMs = 100;
/** Finished operations that are kept, for those who ask late. */
const keptOperations = 200;

/** Core's own view of an operation that runs: capabilities get the smaller OperationContext. */
export interface RunningOperation extends OperationContext {
  /** Enters a stage, which ends the one before; staying in the same one is no event. */
  stage(name: string): void;
}

interface Live {
  readonly controller: AbortController;
  readonly events: EventEmitter<{ event: [OperationEvent] }>;
  readonly done: Promise<void>;
}

/** Long actions: numbered events that are stored, so that any client can replay and follow them. */
export class Operations {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #live = new Map<string, Live>();

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** At the daemon's start: nothing runs, whatever the table says. */
  interruptLeftovers(): void {
    const rows = this.#store.volatile
      .prepare<[], Row>(`SELECT * FROM operation WHERE state = 'running'`)
      .all();
    for (const row of rows) {
      this.#end(row.id, 'failed', {
        error: new BangerError('INTERRUPTED', `the daemon ended during '${row.kind}'`, {
          operationId: row.id,
        }),
      });
    }
    this.#store.volatile
      .prepare(
        `DELETE FROM operation WHERE id NOT IN (SELECT id FROM operation ORDER BY id DESC LIMIT ?)`,
      )
      .run(keptOperations);
  }

  /** Starts `work` in the background. `settled` never rejects: errors are the operation's. */
  begin(
    subject: { kind: string; vm?: { id: string; name: string } },
    work: (operation: RunningOperation) => Promise<Json | undefined>,
  ): { operation: Operation; settled: Promise<void> } {
    const id = uuidv7();
    const startedAt = new Date().toISOString();
    this.#store.volatile
      .prepare(
        `INSERT INTO operation (id, kind, vm_id, vm_name, state, started_at) VALUES (?, ?, ?, ?, 'running', ?)`,
      )
      .run(id, subject.kind, subject.vm?.id ?? null, subject.vm?.name ?? null, startedAt);
    const controller = new AbortController();
    const events = new EventEmitter<{ event: [OperationEvent] }>();
    events.setMaxListeners(0);
    const { context, endStage } = this.#context(id, subject.kind, controller.signal);
    const done = (async () => {
      // The caller has the operation in hand before its first event.
      await Promise.resolve();
      try {
        const result = await work(context);
        endStage('done');
        this.#end(id, 'done', { result: result ?? null });
      } catch (thrown) {
        const error = toBangerError(thrown);
        endStage('failed');
        const wasCancelled = controller.signal.aborted && error.code === 'OPERATION_CANCELLED';
        const level = error.code === 'INTERNAL' ? 'error' : 'info';
        this.#log[level](
          { operation: id, kind: subject.kind, code: error.code, err: thrown },
          'operation failed',
        );
        this.#end(id, wasCancelled ? 'cancelled' : 'failed', { error });
      } finally {
        this.#live.delete(id);
      }
    })();
    this.#live.set(id, { controller, events, done });
    return { operation: this.get(id), settled: done };
  }

  #context(
    id: string,
    kind: string,
    signal: AbortSignal,
  ): { context: RunningOperation; endStage: (status: 'done' | 'failed') => void } {
    let current: { name: string; since: number } | undefined;
    let lastProgress = 0;
    const endStage = (status: 'done' | 'failed'): void => {
      if (current === undefined) return;
      const durationMs = Math.round((performance.now() - current.since) * 10) / 10;
      this.#emit(id, { type: 'stage', stage: current.name, status, durationMs });
      current = undefined;
    };
    const context: RunningOperation = {
      id,
      kind,
      signal,
      log: this.#log.child({ operation: id }),
      stage: (name) => {
        if (current?.name === name) return;
        endStage('done');
        current = { name, since: performance.now() };
        this.#emit(id, { type: 'stage', stage: name, status: 'started' });
      },
      progress: (progress: Progress) => {
        const now = performance.now();
        if (now - lastProgress < progressIntervalMs && progress.fraction !== 1) return;
        lastProgress = now;
        this.#emit(id, { type: 'progress', stage: current?.name ?? null, ...progress });
      },
      notice: (text) => {
        this.#emit(id, { type: 'notice', text });
      },
    };
    return { context, endStage };
  }

  #emit(id: string, event: NewEvent): void {
    const database = this.#store.volatile;
    const stored = database.transaction(() => {
      const last = database
        .prepare<[string], { seq: number | null }>(
          'SELECT max(seq) AS seq FROM operation_event WHERE operation_id = ?',
        )
        .get(id);
      const full: OperationEvent = {
        ...event,
        seq: (last?.seq ?? 0) + 1,
        at: new Date().toISOString(),
      };
      database
        .prepare('INSERT INTO operation_event (operation_id, seq, body) VALUES (?, ?, ?)')
        .run(id, full.seq, JSON.stringify(full));
      return full;
    })();
    this.#live.get(id)?.events.emit('event', stored);
  }

  #end(
    id: string,
    state: Operation['state'],
    outcome: { error: BangerError } | { result: Json },
  ): void {
    const error =
      'error' in outcome ? JSON.stringify({ ...outcome.error.toBody(), operationId: id }) : null;
    const result = 'result' in outcome ? JSON.stringify(outcome.result) : null;
    this.#store.volatile
      .prepare('UPDATE operation SET state = ?, ended_at = ?, error = ?, result = ? WHERE id = ?')
      .run(state, new Date().toISOString(), error, result, id);
    this.#emit(id, { type: 'end', operation: this.get(id) });
  }

  /** @throws BangerError OPERATION_UNKNOWN */
  get(id: string): Operation {
    const row = this.#store.volatile
      .prepare<[string], Row>('SELECT * FROM operation WHERE id = ?')
      .get(id);
    if (row === undefined)
      throw new BangerError('OPERATION_UNKNOWN', `there is no operation '${id.slice(0, 80)}'`);
    return toOperation(row);
  }

  running(): Operation[] {
    return [...this.#live.keys()].map((id) => this.get(id));
  }

  /** Returns at once; the end comes as the operation's last event. */
  cancel(id: string): void {
    this.get(id);
    this.#live
      .get(id)
      ?.controller.abort(new BangerError('OPERATION_CANCELLED', 'the operation was cancelled'));
  }

  async allSettled(): Promise<void> {
    await Promise.all([...this.#live.values()].map(({ done }) => done));
  }

  /** Calls `listener` with each event after `after`: what is stored first, then what comes. */
  follow(id: string, after: number, listener: (event: OperationEvent) => void): () => void {
    this.get(id);
    const live = this.#live.get(id);
    const stored = this.#store.volatile
      .prepare<[string, number], { body: string }>(
        'SELECT body FROM operation_event WHERE operation_id = ? AND seq > ? ORDER BY seq',
      )
      .all(id, after);
    // Reading and subscribing are in one turn of the event loop, so nothing falls between them.
    live?.events.on('event', listener);
    for (const { body } of stored) listener(JSON.parse(body) as OperationEvent);
    return () => live?.events.off('event', listener);
  }
}
