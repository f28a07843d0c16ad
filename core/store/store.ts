import Database from 'better-sqlite3';
import { Umzug, type UmzugStorage } from 'umzug';
import { BangerError, messageOf } from '../errors.ts';
import { coreMigrations, type Migration } from './migrations.ts';

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

const open = (path: string, synchronous: 'FULL' | 'NORMAL'): Database.Database => {
  const database = new Database(path);
  database.pragma('journal_mode = WAL');
  database.pragma(`synchronous = ${synchronous}`);
  database.pragma('foreign_keys = ON');
  database.pragma('busy_timeout = 5000');
  return database;
};

/** The log of migrations, in the database itself. */
const storage = (database: Database.Database): UmzugStorage => ({
  // Logged by the migration's own transaction: both or neither.
  logMigration: () => Promise.resolve(),
  unlogMigration: () => Promise.reject(new Error('migrations are not undone')),
  executed: () =>
    Promise.resolve(
      database
        .prepare<[], { name: string }>('SELECT name FROM migration ORDER BY name')
        .all()
        .map((row) => row.name),
    ),
});

const migrate = async (
  database: Database.Database,
  migrations: readonly Migration[],
): Promise<void> => {
  database.exec(
    'CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT',
  );
  const known = new Set(migrations.map((migration) => migration.name));
  const applied = await storage(database).executed({ context: {} });
  const newer = applied.filter((name) => !known.has(name));
  if (newer.length > 0) {
    throw new BangerError(
      'STORE_TOO_NEW',
      `the database has migrations that this version does not know: ${newer.join(', ')}`,
    );
  }
  const umzug = new Umzug({
    migrations: migrations.map(({ name, sql }) => ({
      name,
      up: () => {
        database.transaction(() => {
          database.exec(sql);
          database
            .prepare('INSERT INTO migration (name, at) VALUES (?, ?)')
            .run(name, new Date().toISOString());
        })();
        return Promise.resolve();
      },
    })),
    storage: storage(database),
    logger: undefined,
  });
  await umzug.up();
};

/**
 * Opens and migrates the database at `path` (`:memory:` for tests, then both connections are one).
 * @throws BangerError STORE_TOO_NEW, STORE_CORRUPT
 */
export const openStore = async (path: string): Promise<Store> => {
  let durable: Database.Database | undefined;
  try {
    durable = open(path, 'FULL');
    await migrate(durable, coreMigrations);
    const volatile = path === ':memory:' ? durable : open(path, 'NORMAL');
    const opened = durable;
    return {
      durable,
      volatile,
      close: () => {
        volatile.close();
        opened.close();
      },
    };
  } catch (error) {
    durable?.close();
    const code = error instanceof Database.SqliteError ? error.code : '';
    if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB')
      throw new BangerError('STORE_CORRUPT', `${path}: ${messageOf(error)}`, { cause: error });
    throw error;
  }
};
