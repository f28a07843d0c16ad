import { existsSync, linkSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RestoreReport } from '../api/contract/backups.ts';
import { BangerError } from '../errors.ts';
import { backupFolder, backupsBeside, examine, newestGoodBackup, stampOf } from './backups.ts';
import { damageOfFiles } from './damage.ts';
import { copyDatabase, readDatabase, sizeOf, syncToDisk } from './database.ts';
import { coreMigrations } from './migrations.ts';

/**
 * Puts a backup in the place of the database at `path`, which stays beside it. The caller has the state
 * directory for itself. Killed at any point, it can be run again.
 * @param wanted a backup's name, or the path of any database of banger's; the newest good backup where absent
 * @throws BangerError INPUT_INVALID, STORE_CORRUPT, STORE_TOO_NEW
 */
export const restoreStore = (path: string, wanted: string | undefined): RestoreReport => {
  const isDamaged = isUnusable(path);
  const source = wanted === undefined ? newestFor(path, isDamaged) : find(path, wanted);
  const next = `${path}.restoring`;
  rmSync(next, { force: true });
  readDatabase(source, (database) => copyDatabase(database, next));
  const setAside = keepAside(path, isDamaged ? 'corrupt' : 'replaced');
  renameSync(next, path);
  syncToDisk(dirname(path));
  return { database: path, backup: source, setAside };
};

const isUnusable = (path: string): boolean =>
  sizeOf(path) === 0 ||
  damageOfFiles(path, true) !== undefined ||
  examine(path, coreMigrations).state !== 'good';

const newestFor = (path: string, isDamaged: boolean): string => {
  if (!isDamaged) {
    throw new BangerError('INPUT_INVALID', `the database ${path} is in order`, {
      remedy: 'Name a backup to go back to it all the same: `banger daemon restore --list`.',
    });
  }
  const newest = newestGoodBackup(path, coreMigrations);
  if (newest !== undefined) return newest.path;
  throw new BangerError('STORE_CORRUPT', `there is no good backup in ${backupFolder(path)}`, {
    remedy: `Move ${path} away to begin without records; \`banger doctor --leaks --fix\` then removes what it knew on the host.`,
  });
};

const find = (path: string, wanted: string): string => {
  const known = backupsBeside(path).find(({ name }) => name === wanted);
  const source = known === undefined ? wanted : join(backupFolder(path), known.name);
  if (!existsSync(source)) {
    throw new BangerError('INPUT_INVALID', `there is no backup '${wanted}'`, {
      remedy: 'See `banger daemon restore --list`.',
    });
  }
  const { state, detail } = examine(source, coreMigrations);
  if (state === 'damaged') {
    throw new BangerError('STORE_CORRUPT', `${source} is damaged itself (${detail})`, {
      remedy: 'Choose another one: `banger daemon restore --list`.',
    });
  }
  if (state === 'newer') throw new BangerError('STORE_TOO_NEW', `${source} is too new: ${detail}`);
  return source;
};

/** First a second name for the file, so that there is a database at any time; last the log that belongs to it. */
const keepAside = (path: string, why: 'corrupt' | 'replaced'): string | null => {
  if (!existsSync(path)) return null;
  const aside = `${path}.${why}-${stampOf(new Date())}`;
  linkSync(path, aside);
  // A log that stays would be read into the restored database.
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  rmSync(`${path}-shm`, { force: true });
  syncToDisk(dirname(path));
  return aside;
};
