import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type Database from 'better-sqlite3';
import type { BackupInfo } from '../api/contract/backups.ts';
import { messageOf } from '../errors.ts';
import { damageOf, isDamage } from './damage.ts';
import { copyDatabase, readDatabase, sizeOf, syncToDisk } from './database.ts';
import { appliedMigrations, neededVersion } from './migrate.ts';
import type { Migration } from './migrations.ts';

/**
 * `banger-<schema>-<time>.db` is of before a migration, and the last three are kept. `daily-…` is of every day:
 * the last one of each of the last three days that have any.
 */
type Kind = BackupInfo['kind'];
const prefixes = { upgrade: 'banger', daily: 'daily' } as const satisfies Record<Kind, string>;
const kept = 3;

interface Named {
  readonly name: string;
  readonly kind: Kind;
  readonly schema: number;
  /** As in the name, so that names of one kind and time sort alike. */
  readonly stamp: string;
}

/** `20261124T150525123Z`: UTC, and in the order of time as text. */
export const stampOf = (time: Date): string => time.toISOString().replaceAll(/[-:.]/g, '');

const timeOf = (stamp: string): string =>
  stamp.replace(/^(....)(..)(..T..)(..)(..)(...Z)$/, '$1-$2-$3:$4:$5.$6');

export const backupFolder = (databasePath: string): string =>
  join(dirname(databasePath), 'backups');

/** Newest first. Empty where there is no folder. */
export const backupsBeside = (databasePath: string): readonly Named[] => {
  let names: readonly string[];
  try {
    names = readdirSync(backupFolder(databasePath));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names
    .flatMap((name): Named[] => {
      const [, prefix, schema, stamp] =
        /^(banger|daily)-(\d+)-(\d{8}T\d{9}Z)\.db$/.exec(name) ?? [];
      if (stamp === undefined) return [];
      return [
        { name, kind: prefix === 'daily' ? 'daily' : 'upgrade', schema: Number(schema), stamp },
      ];
    })
    .sort((left, right) => (left.stamp < right.stamp ? 1 : -1));
};

/**
 * A whole copy of the open database, or none: it gets its name when it is on the disk. Older ones make room.
 * @returns its path
 */
export const writeBackup = (
  databasePath: string,
  database: Database.Database,
  kind: Kind,
): string => {
  const folder = backupFolder(databasePath);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // A daemon that was killed in the middle left it; nobody else writes here, for there is one daemon.
  for (const name of readdirSync(folder)) if (name.endsWith('.partial')) rmSync(join(folder, name));
  const schema = appliedMigrations(database).length;
  const path = join(folder, `${prefixes[kind]}-${schema}-${stampOf(new Date())}.db`);
  const partial = `${path}.partial`;
  try {
    copyDatabase(database, partial);
    chmodSync(partial, 0o600);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  syncToDisk(folder);
  prune(databasePath);
  return path;
};

const prune = (databasePath: string): void => {
  const all = backupsBeside(databasePath);
  const upgrades = all.filter(({ kind }) => kind === 'upgrade').slice(0, kept);
  const lastOfDay = new Map<string, Named>();
  for (const backup of all) {
    const day = backup.stamp.slice(0, 8);
    if (backup.kind === 'daily' && !lastOfDay.has(day)) lastOfDay.set(day, backup);
  }
  const keep = new Set([...upgrades, ...[...lastOfDay.values()].slice(0, kept)]);
  for (const backup of all)
    if (!keep.has(backup)) rmSync(join(backupFolder(databasePath), backup.name), { force: true });
};

/** Reads all of a database: is it whole, and one that `migrations` can be run on? */
export const examine = (
  path: string,
  migrations: readonly Migration[],
): Pick<BackupInfo, 'state' | 'detail'> & { readonly schema: number } => {
  try {
    return readDatabase(path, (database) => {
      const damage = damageOf(database, true);
      if (damage !== undefined) return { state: 'damaged', detail: damage, schema: 0 };
      const applied = appliedMigrations(database);
      const schema = applied.length;
      if (schema === 0) return { state: 'damaged', detail: 'it is empty', schema };
      const needed = neededVersion(applied, migrations);
      if (needed === undefined) return { state: 'good', detail: '', schema };
      return { state: 'newer', detail: `it needs banger ${needed}`, schema };
    });
  } catch (error) {
    if (isDamage(error)) return { state: 'damaged', detail: messageOf(error), schema: 0 };
    throw error;
  }
};

const describe = (
  databasePath: string,
  { name, kind, schema, stamp }: Named,
  migrations: readonly Migration[],
): BackupInfo => {
  const path = join(backupFolder(databasePath), name);
  const { state, detail } = examine(path, migrations);
  return { name, path, kind, schema, createdAt: timeOf(stamp), bytes: sizeOf(path), state, detail };
};

/** Newest first. Reads each of them from end to end. */
export const listBackups = (
  databasePath: string,
  migrations: readonly Migration[],
): readonly BackupInfo[] =>
  backupsBeside(databasePath).map((backup) => describe(databasePath, backup, migrations));

/** The newest that can be restored; those after it are not read. */
export const newestGoodBackup = (
  databasePath: string,
  migrations: readonly Migration[],
): BackupInfo | undefined => {
  for (const backup of backupsBeside(databasePath)) {
    const described = describe(databasePath, backup, migrations);
    if (described.state === 'good') return described;
  }
  return undefined;
};
