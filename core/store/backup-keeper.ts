import type Database from 'better-sqlite3';
import type { Logger } from '../log/logger.ts';
import { backupsBeside, stampOf, writeBackup } from './backups.ts';

const dayMs = 24 * 60 * 60 * 1000;
const checkMs = 60_000;

/**
 * Backups of a database whose owner never upgrades: when VMs came or went, within a minute; once a day anyway;
 * and when the daemon ends. A copy takes 3 ms a MiB, and a failed one is logged, never anyone's failure.
 */
export class BackupKeeper {
  readonly #path: string;
  readonly #durable: Database.Database;
  readonly #volatile: Database.Database;
  readonly #log: Logger | undefined;
  readonly #timer: NodeJS.Timeout;
  #vms: string;
  #changes: number;

  constructor(
    path: string,
    connections: Readonly<Record<'durable' | 'volatile', Database.Database>>,
    log: Logger | undefined,
  ) {
    this.#path = path;
    this.#durable = connections.durable;
    this.#volatile = connections.volatile;
    this.#log = log;
    this.#vms = this.#readVms();
    this.#changes = this.#countChanges();
    this.#timer = setInterval(() => {
      this.#check();
    }, checkMs).unref();
  }

  /** Before the connections are closed. */
  close(): void {
    clearInterval(this.#timer);
    if (this.#countChanges() !== this.#changes || backupsBeside(this.#path).length === 0)
      this.#backUp();
  }

  #check(): void {
    const [newest] = backupsBeside(this.#path);
    const isOld = newest === undefined || newest.stamp < stampOf(new Date(Date.now() - dayMs));
    if (isOld || this.#readVms() !== this.#vms) this.#backUp();
  }

  #backUp(): void {
    try {
      const backup = writeBackup(this.#path, this.#durable, 'daily');
      this.#vms = this.#readVms();
      this.#changes = this.#countChanges();
      this.#log?.debug({ backup }, 'database backed up');
    } catch (error) {
      this.#log?.warn({ err: error }, 'the database could not be backed up');
    }
  }

  #readVms(): string {
    return this.#durable.prepare('SELECT id FROM vm ORDER BY id').pluck().all().join(' ');
  }

  /** Rows that this process changed, sqlite.org/c3ref/total_changes.html. */
  #countChanges(): number {
    return [this.#durable, this.#volatile]
      .map((database) => Number(database.prepare('SELECT total_changes()').pluck().get()))
      .reduce((sum, count) => sum + count, 0);
  }
}
