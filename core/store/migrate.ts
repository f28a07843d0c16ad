import type Database from 'better-sqlite3';
import { BangerError, messageOf, toBangerError } from '../errors.ts';
import type { Migration } from './migrations.ts';

interface Applied {
  readonly name: string;
  /** Null in a database of before banger wrote it down, 0.1.0. */
  readonly since: string | null;
}

const hasColumn = (database: Database.Database, table: string, column: string): boolean =>
  database.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column) !==
  undefined;

/** The log of migrations, which is in the database itself. Its length is the schema's number. */
export const appliedMigrations = (database: Database.Database): readonly Applied[] => {
  if (!hasColumn(database, 'migration', 'name')) return [];
  const since = hasColumn(database, 'migration', 'since') ? 'since' : 'NULL';
  return database
    .prepare<[], Applied>(`SELECT name, ${since} AS since FROM migration ORDER BY rowid`)
    .all();
};

const isLater = (left: string, right: string): boolean =>
  left.localeCompare(right, 'en', { numeric: true }) > 0;

/** The version of banger that is needed at least; undefined where `migrations` is all that the database has. */
export const neededVersion = (
  applied: readonly Applied[],
  migrations: readonly Migration[],
): string | undefined => {
  const known = new Set(migrations.map(({ name }) => name));
  const newer = applied.filter(({ name }) => !known.has(name));
  return newer
    .map(({ since }) => since ?? 'a newer version')
    .reduce<string | undefined>(
      (latest, since) => (latest === undefined || isLater(since, latest) ? since : latest),
      undefined,
    );
};

/** @throws BangerError STORE_TOO_NEW, nothing is changed then */
export const pendingMigrations = (
  path: string,
  database: Database.Database,
  migrations: readonly Migration[],
): readonly Migration[] => {
  const applied = appliedMigrations(database);
  const needed = neededVersion(applied, migrations);
  if (needed !== undefined) {
    throw new BangerError(
      'STORE_TOO_NEW',
      `the database ${path} was written by a newer banger: it has schema ${applied.length}, this one knows ` +
        `${migrations.length}; banger ${needed} is needed`,
      { remedy: `Install banger ${needed} or a later one.` },
    );
  }
  const names = new Set(applied.map(({ name }) => name));
  return migrations.filter(({ name }) => !names.has(name));
};

/**
 * Runs all of them, or none: an old banger can still open what a failed upgrade leaves.
 * @throws BangerError that names the migration
 */
export const runMigrations = (database: Database.Database, pending: readonly Migration[]): void => {
  // Of no effect within a transaction (sqlite.org/lang_altertable.html#otheralter, steps 1 and 12).
  database.pragma('foreign_keys = OFF');
  try {
    database
      .transaction(() => {
        database.exec(
          'CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT',
        );
        for (const migration of pending) runOne(database, migration);
        const dangling = database.prepare<[], { table: string }>('PRAGMA foreign_key_check').get();
        if (dangling !== undefined)
          throw new BangerError(
            'INTERNAL',
            `after the migrations a row of ${dangling.table} refers to nothing`,
          );
        logAll(database, pending);
      })
      .immediate();
  } finally {
    database.pragma('foreign_keys = ON');
  }
};

const runOne = (database: Database.Database, { name, sql }: Migration): void => {
  try {
    database.exec(sql);
  } catch (error) {
    const { code, remedy } = toBangerError(error);
    throw new BangerError(
      code,
      `the migration ${name} failed, and the database is as it was: ${messageOf(error)}`,
      { remedy, cause: error },
    );
  }
};

/** At the end, since the log's own columns come by a migration. */
const logAll = (database: Database.Database, pending: readonly Migration[]): void => {
  const at = new Date().toISOString();
  const insert = database.prepare(
    hasColumn(database, 'migration', 'since')
      ? 'INSERT INTO migration (name, at, since) VALUES (@name, @at, @since)'
      : 'INSERT INTO migration (name, at) VALUES (@name, @at)',
  );
  for (const { name, since } of pending) insert.run({ name, at, since });
};
