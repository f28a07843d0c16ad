import Database from 'better-sqlite3';
import { BangerError, messageOf, toBangerError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { BackupKeeper } from './backup-keeper.ts';
import { backupsBeside, newestGoodBackup, writeBackup } from './backups.ts';
import { damageOf, damageOfFiles, isDamage } from './damage.ts';
import { openDatabase, sizeOf } from './database.ts';
import { pendingMigrations, runMigrations } from './migrate.ts';
import { coreMigrations, type Migration } from './migrations.ts';
import { reserveRoom } from './room.ts';

/**
 * One database, two connections, because SQLite's `synchronous` is a setting of the connection.
 * `durable` (FULL) for what outlives the host's boot: records, files, disks. `volatile` (NORMAL) for what
 * a power cut takes along anyway: taps, rules, processes, events. SIGKILL loses nothing on either (WAL).
 */
export interface Store {
  readonly durable: Database.Database;
  readonly volatile: Database.Database;
  close(): void;
}

export interface StoreOptions {
  readonly log?: Logger;
  /** Core's own where absent. */
  readonly migrations?: readonly Migration[];
}

/** Up to here all of it is read at each start: 40 ms at most. A daemon's with 100 VMs has less than 1 MiB. */
const alwaysReadBytes = 16 * 1024 ** 2;

/**
 * Opens and migrates the database at `path` (`:memory:` for tests, then both connections are one).
 * @throws BangerError STORE_TOO_NEW, STORE_CORRUPT, DISK_FULL, PERMISSION_DENIED
 */
export const openStore = async (
  path: string,
  { log, migrations = coreMigrations }: StoreOptions = {},
): Promise<Store> => {
  if (path === ':memory:') return openInMemory(migrations);
  const opened: Database.Database[] = [];
  const close = (): void => {
    for (const database of opened.reverse()) database.close();
  };
  try {
    refuseDamage(path, migrations, damageOfFiles(path, backupsBeside(path).length > 0));
    const isThorough = sizeOf(path) <= alwaysReadBytes || sizeOf(`${path}-wal`) > 0;
    const durable = openDatabase(path, 'FULL');
    opened.push(durable);
    refuseDamage(path, migrations, damageOf(durable, isThorough));
    migrate(path, durable, migrations, log);
    const volatile = openDatabase(path, 'NORMAL');
    opened.push(volatile);
    reserveRoom(volatile, log);
    const keeper = new BackupKeeper(path, { durable, volatile }, log);
    return {
      durable,
      volatile,
      close: () => {
        keeper.close();
        close();
      },
    };
  } catch (error) {
    close();
    if (isDamage(error)) refuseDamage(path, migrations, messageOf(error));
    throw explained(path, error);
  }
};

const openInMemory = (migrations: readonly Migration[]): Store => {
  const database = openDatabase(':memory:', 'FULL');
  runMigrations(database, migrations);
  return { durable: database, volatile: database, close: () => database.close() };
};

const migrate = (
  path: string,
  database: Database.Database,
  migrations: readonly Migration[],
  log: Logger | undefined,
): void => {
  const pending = pendingMigrations(path, database, migrations);
  if (pending.length === 0) return;
  if (pending.length < migrations.length) {
    const backup = writeBackup(path, database, 'upgrade');
    log?.info({ backup, migrations: pending.map(({ name }) => name) }, 'the database is upgraded');
  }
  runMigrations(database, pending);
};

/** @throws BangerError STORE_CORRUPT, with what to do about it */
const refuseDamage = (
  path: string,
  migrations: readonly Migration[],
  damage: string | undefined,
): void => {
  if (damage === undefined) return;
  const backup = newestGoodBackup(path, migrations);
  if (backup === undefined) {
    throw new BangerError(
      'STORE_CORRUPT',
      `the database ${path} is damaged (${damage}), and there is no good backup of it`,
      {
        remedy:
          `Move it away (\`mv ${path} ${path}.damaged\`) to begin without records; ` +
          '`banger doctor --leaks --fix` then removes what it knew on the host.',
      },
    );
  }
  const time = backup.createdAt.replace(/T(..:..).*/, ' $1 UTC');
  throw new BangerError(
    'STORE_CORRUPT',
    `the database ${path} is damaged (${damage}); its newest good backup is ${backup.path}, of ${time}`,
    {
      remedy:
        `Restore it with \`banger daemon restore ${backup.name}\`; changes since then are lost, and ` +
        '`banger doctor --leaks` tells what they leave on the host.',
    },
  );
};

const explained = (path: string, error: unknown): unknown => {
  if (!(error instanceof Database.SqliteError)) return error;
  const message = `the database ${path}: ${messageOf(error)}`;
  if (toBangerError(error).code === 'DISK_FULL')
    return new BangerError('DISK_FULL', message, { cause: error });
  if (/^SQLITE_(CANTOPEN|READONLY|PERM|AUTH)/.test(error.code))
    return new BangerError('PERMISSION_DENIED', message, { cause: error });
  return error;
};
