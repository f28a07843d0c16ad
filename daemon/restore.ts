import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { resolvePaths } from '../core/config/paths.ts';
import { BangerError, toBangerError } from '../core/errors.ts';
import { lockExclusively } from '../core/host/helpers-lock.ts';
import { listBackups } from '../core/store/backups.ts';
import { coreMigrations } from '../core/store/migrations.ts';
import { restoreStore } from '../core/store/restore.ts';

/**
 * A program of its own, for a daemon does not start with a damaged database: `list`, or `restore [BACKUP]`.
 * Prints one line of JSON: BackupInfo[], a RestoreReport, or `{ "error": ErrorBody }` and exit code 1.
 */
const main = async ([verb, wanted]: readonly string[]): Promise<unknown> => {
  const { stateDirectory } = resolvePaths(process.env);
  const database = join(stateDirectory, 'banger.db');
  if (verb === 'list') return listBackups(database, coreMigrations);
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const lock = await lockExclusively(join(stateDirectory, 'daemon.lock'));
  if (lock === undefined) {
    throw new BangerError(
      'DAEMON_RUNNING',
      `a daemon is running with the state directory ${stateDirectory}`,
      { remedy: 'Stop it first with `banger daemon stop`; running VMs go on.' },
    );
  }
  try {
    return restoreStore(database, wanted);
  } finally {
    await lock.close();
  }
};

main(process.argv.slice(2)).then(
  (answer) => {
    console.log(JSON.stringify(answer));
  },
  (thrown: unknown) => {
    const error = toBangerError(thrown);
    if (error.code === 'INTERNAL') console.error(thrown);
    console.log(JSON.stringify({ error: error.toBody() }));
    process.exitCode = 1;
  },
);
