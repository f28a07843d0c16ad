import type { ErrorBody } from '../errors.ts';
import { BangerError } from '../errors.ts';
import type { Condition, VmState } from '../api/contract/types.ts';
import type { Store } from '../store/store.ts';
import type { VmRecord, VmSpec } from './record.ts';

/** What core knows of the current run. */
export interface RunRecord {
  readonly state: VmState;
  readonly runId: string | null;
  /** Id of the VMM driver. */
  readonly driver: string | null;
  readonly ip: string | null;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly lastError: ErrorBody | null;
  readonly conditions: readonly Condition[];
  readonly logs: Readonly<Record<string, string>>;
  /** What this run has, where the record may ask for something else by now; null of one that a daemon before 0.3.0 began. */
  readonly current: VmSpec | null;
}

export interface Vm extends VmRecord {
  readonly run: RunRecord;
}

/** Whether its VMM is there: it runs, or is paused. */
export const isUp = ({ run: { state } }: Vm): boolean => state === 'running' || state === 'paused';

interface Row {
  id: string;
  name: string;
  image: string;
  vcpus: number;
  memory_mib: number;
  disk_bytes: number;
  ephemeral: number;
  nat: number;
  created_at: string;
  /** A paused one is `running` here, as to those before 0.4.0. */
  state: Exclude<VmState, 'paused'>;
  paused: number;
  run_id: string | null;
  driver: string | null;
  ip: string | null;
  pid: number | null;
  started_at: string | null;
  last_error: string | null;
  conditions: string;
  logs: string;
  current: string | null;
}

const stopped: RunRecord = {
  state: 'stopped',
  runId: null,
  driver: null,
  ip: null,
  pid: null,
  startedAt: null,
  lastError: null,
  conditions: [],
  logs: {},
  current: null,
};

const toVm = (row: Row): Vm => ({
  id: row.id,
  name: row.name,
  image: row.image,
  vcpus: row.vcpus,
  memoryMib: row.memory_mib,
  diskBytes: row.disk_bytes,
  nat: row.nat === 1,
  ephemeral: row.ephemeral === 1,
  createdAt: row.created_at,
  run: {
    state: row.state === 'running' && row.paused === 1 ? 'paused' : row.state,
    runId: row.run_id,
    driver: row.driver,
    ip: row.ip,
    pid: row.pid,
    startedAt: row.started_at,
    lastError: row.last_error === null ? null : (JSON.parse(row.last_error) as ErrorBody),
    conditions: JSON.parse(row.conditions) as Condition[],
    logs: JSON.parse(row.logs) as Record<string, string>,
    current: row.current === null ? null : (JSON.parse(row.current) as VmSpec),
  },
});

const query = 'SELECT vm.*, run.* FROM vm JOIN run ON run.vm_id = vm.id';

/** The conditions with the one of that kind added or replaced; no detail leaves it out. */
export const withCondition = (
  conditions: readonly Condition[],
  kind: string,
  detail?: string,
): Condition[] => [
  ...conditions.filter((condition) => condition.kind !== kind),
  ...(detail === undefined ? [] : [{ kind, detail }]),
];

/** VM and run records. */
export class VmRepository {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** @throws BangerError VM_EXISTS */
  insert(record: VmRecord): Vm {
    const database = this.#store.durable;
    database.transaction(() => {
      if (database.prepare('SELECT 1 FROM vm WHERE name = ?').get(record.name) !== undefined)
        throw new BangerError('VM_EXISTS', `a VM named '${record.name}' exists already`);
      database
        .prepare(
          `INSERT INTO vm (id, name, image, vcpus, memory_mib, disk_bytes, nat, ephemeral, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          record.id,
          record.name,
          record.image,
          record.vcpus,
          record.memoryMib,
          record.diskBytes,
          record.nat ? 1 : 0,
          record.ephemeral ? 1 : 0,
          record.createdAt,
        );
      database.prepare(`INSERT INTO run (vm_id, state) VALUES (?, 'stopped')`).run(record.id);
    })();
    return { ...record, run: stopped };
  }

  list(): Vm[] {
    return this.#store.durable.prepare<[], Row>(`${query} ORDER BY vm.created_at`).all().map(toVm);
  }

  find(nameOrId: string): Vm | undefined {
    const row = this.#store.durable
      .prepare<[string, string], Row>(`${query} WHERE vm.name = ? OR vm.id = ?`)
      .get(nameOrId, nameOrId);
    return row === undefined ? undefined : toVm(row);
  }

  /** @throws BangerError VM_UNKNOWN */
  get(nameOrId: string): Vm {
    const vm = this.find(nameOrId);
    if (vm === undefined)
      throw new BangerError('VM_UNKNOWN', `there is no VM named '${nameOrId.slice(0, 80)}'`);
    return vm;
  }

  /** What the user asks for from now on. */
  updateSpec(vmId: string, { vcpus, memoryMib, diskBytes, nat }: VmSpec): void {
    this.#store.durable
      .prepare('UPDATE vm SET vcpus = ?, memory_mib = ?, disk_bytes = ?, nat = ? WHERE id = ?')
      .run(vcpus, memoryMib, diskBytes, nat ? 1 : 0, vmId);
  }

  /** Changes what is given, leaves the rest; `running` and its facts are one statement. */
  updateRun(vmId: string, change: Partial<RunRecord>): void {
    const { state, ...facts } = change;
    const columns: Readonly<Record<keyof typeof facts, string>> = {
      runId: 'run_id',
      driver: 'driver',
      ip: 'ip',
      pid: 'pid',
      startedAt: 'started_at',
      lastError: 'last_error',
      conditions: 'conditions',
      logs: 'logs',
      current: 'current',
    };
    const sets: string[] = [];
    const values: (string | number | null)[] = [];
    if (state !== undefined) {
      sets.push('state = ?', 'paused = ?');
      values.push(state === 'paused' ? 'running' : state, state === 'paused' ? 1 : 0);
    }
    for (const [key, value] of Object.entries(facts)) {
      sets.push(`${columns[key as keyof typeof facts]} = ?`);
      values.push(value !== null && typeof value === 'object' ? JSON.stringify(value) : value);
    }
    this.#store.durable
      .prepare(`UPDATE run SET ${sets.join(', ')} WHERE vm_id = ?`)
      .run(...values, vmId);
  }

  stopRun(vmId: string, lastError: ErrorBody | null): void {
    const { logs: _kept, ...rest } = stopped;
    this.updateRun(vmId, { ...rest, lastError });
  }

  /** Adds or replaces the condition of that kind; no detail removes it. */
  setCondition(vmId: string, kind: string, detail?: string): void {
    this.updateRun(vmId, {
      conditions: withCondition(this.get(vmId).run.conditions, kind, detail),
    });
  }

  remove(vmId: string): void {
    this.#store.durable.prepare('DELETE FROM vm WHERE id = ?').run(vmId);
  }

  provisioned(vmId: string, capability: string, step: string): string | undefined {
    return this.#store.durable
      .prepare<[string, string, string], { generation: string }>(
        'SELECT generation FROM provision_step WHERE vm_id = ? AND capability = ? AND step = ?',
      )
      .get(vmId, capability, step)?.generation;
  }

  recordProvisioned(vmId: string, capability: string, step: string, generation: string): void {
    this.#store.durable
      .prepare(
        `INSERT INTO provision_step (vm_id, capability, step, generation, done_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET generation = excluded.generation, done_at = excluded.done_at`,
      )
      .run(vmId, capability, step, generation, new Date().toISOString());
  }
}
