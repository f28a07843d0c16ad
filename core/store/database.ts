import { closeSync, existsSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';

/** Pages of the write-ahead log after which SQLite begins it anew, once they are in the database. */
export const logPages = 250;

export const openDatabase = (path: string, synchronous: 'FULL' | 'NORMAL'): Database.Database => {
  const database = new Database(path);
  try {
    database.pragma('journal_mode = WAL');
    database.pragma(`wal_autocheckpoint = ${String(logPages)}`);
    database.pragma(`synchronous = ${synchronous}`);
    database.pragma('foreign_keys = ON');
    database.pragma('busy_timeout = 5000');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
};

/** What `read` makes of the database at `path`, which nobody changes. @throws SqliteError */
export const readDatabase = <T>(path: string, read: (database: Database.Database) => T): T => {
  const database = new Database(path, { readonly: true, fileMustExist: true });
  try {
    return read(database);
  } finally {
    database.close();
  }
};

/** 0 where there is none. */
export const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

/** Until it is synced a folder may forget, in a power cut, that a file in it was renamed. */
export const syncToDisk = (path: string): void => {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
};

/** Writes all of a database to `target`, which must not exist; it is on the disk on return. */
export const copyDatabase = (database: Database.Database, target: string): void => {
  // Not a copy of the file: what is in the write-ahead log is in it too, and all pages were read in their order.
  database.prepare('VACUUM INTO ?').run(target);
  syncToDisk(target);
  syncToDisk(dirname(target));
};
