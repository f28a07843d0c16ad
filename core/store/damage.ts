import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { messageOf } from '../errors.ts';
import { appliedMigrations } from './migrate.ts';
import { sizeOf } from './database.ts';

/** SQLite's own word that the file is no (whole) database. */
export const isDamage = (error: unknown): boolean =>
  error instanceof Database.SqliteError &&
  (error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB');

/**
 * Damage that opening would cover up: SQLite takes an empty file for a new database and throws its log away,
 * and makes a new log where one is missing.
 * @param isKnown whether there was a database here before
 */
export const damageOfFiles = (path: string, isKnown: boolean): string | undefined => {
  const hasLog = sizeOf(`${path}-wal`) > 0;
  if (existsSync(path) && sizeOf(path) === 0 && (isKnown || hasLog)) return 'the file is empty';
  // SQLite makes the log before its index, and removes the index before the log (wal.c, sqlite3WalClose).
  if (existsSync(`${path}-shm`) && !existsSync(`${path}-wal`))
    return `the newest changes are missing, with the file ${path}-wal`;
  return undefined;
};

/**
 * Reads every page, where `isThorough`: 2.6 ms a MiB. Otherwise only what is first needed.
 * @returns what is wrong, in words of SQLite's
 */
export const damageOf = (database: Database.Database, isThorough: boolean): string | undefined => {
  try {
    if (isThorough) {
      const [found] = database.pragma('quick_check(1)') as { quick_check: string }[];
      if (found !== undefined && found.quick_check !== 'ok')
        return found.quick_check.split('\n').at(-1);
    }
    const { tables } = database
      .prepare<[], { tables: number }>('SELECT count(*) AS tables FROM sqlite_schema')
      .get() ?? { tables: 0 };
    if (tables > 0 && appliedMigrations(database).length === 0)
      return 'it is another program’s database';
    return undefined;
  } catch (error) {
    if (isDamage(error)) return messageOf(error);
    throw error;
  }
};
