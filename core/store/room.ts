import Database from 'better-sqlite3';
import type { Logger } from '../log/logger.ts';
import { logPages } from './database.ts';

/**
 * Takes the room on the disk that changes will need: 1 MiB for the write-ahead log, which keeps its length while the
 * daemon runs, and as much in the database, as free pages. So VMs can still be stopped and deleted when guests
 * have filled the disk, which is how there is room again.
 */
export const reserveRoom = (database: Database.Database, log: Logger | undefined): void => {
  const pageBytes = Number(database.pragma('page_size', { simple: true }));
  try {
    database.exec(
      `BEGIN; CREATE TABLE room (bytes BLOB);
       INSERT INTO room VALUES (zeroblob(${String(logPages * pageBytes)})); DROP TABLE room; COMMIT`,
    );
    database.pragma('wal_checkpoint(RESTART)');
  } catch (error) {
    if (!(error instanceof Database.SqliteError) || error.code !== 'SQLITE_FULL') throw error;
    if (database.inTransaction) database.exec('ROLLBACK');
    log?.warn({}, 'there is hardly any room left on the disk of the state directory');
  }
};
