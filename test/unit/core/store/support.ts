import Database from 'better-sqlite3';
import type { BangerError } from '../../../../core/errors.ts';
import { toBangerError } from '../../../../core/errors.ts';
import { runMigrations } from '../../../../core/store/migrate.ts';
import { coreMigrations } from '../../../../core/store/migrations.ts';

const using = <T>(path: string, work: (database: Database.Database) => T): T => {
  const database = new Database(path, { fileMustExist: true });
  try {
    return work(database);
  } finally {
    database.close();
  }
};

/** A database as the banger of that schema made it. */
export const createOfSchema = (path: string, schema: number): void => {
  const database = new Database(path);
  database.pragma('journal_mode = WAL');
  runMigrations(database, coreMigrations.slice(0, schema));
  database.close();
};

/** In the tables of the first schema, so in any. */
export const addVm = (target: string | Database.Database, name: string): void => {
  if (typeof target === 'string') {
    using(target, (database) => {
      addVm(database, name);
    });
    return;
  }
  target
    .prepare(
      `INSERT INTO vm (id, name, image, vcpus, memory_mib, disk_bytes, ephemeral, created_at)
       VALUES (?, ?, 'debian-bookworm', 1, 512, 1073741824, 0, '2026-01-01T00:00:00.000Z')`,
    )
    .run(`id-${name}`, name);
  target.prepare(`INSERT INTO run (vm_id, state) VALUES (?, 'stopped')`).run(`id-${name}`);
};

export const vmsIn = (path: string): readonly unknown[] =>
  using(path, (database) => database.prepare('SELECT name FROM vm ORDER BY name').pluck().all());

/** What a migration changes: tables with their columns, indices, and the log. */
export const schemaOf = (path: string) =>
  using(path, (database) => {
    const names = (sql: string): unknown[] => database.prepare(sql).pluck().all();
    const tables = names(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
    );
    return {
      tables,
      columns: tables.map((table) =>
        database
          .prepare('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)')
          .all(table),
      ),
      indices: names(`SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name`),
      migrations: tables.includes('migration')
        ? names('SELECT name FROM migration ORDER BY rowid')
        : [],
    };
  });

/** The error that `work` ends with, as a client is told it. */
export const failureOf = async (work: Promise<unknown> | (() => unknown)): Promise<BangerError> => {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return toBangerError(error);
  }
  throw new Error('it did not fail');
};
