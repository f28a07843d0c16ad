import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { BackupInfo, RestoreReport } from '../../../core/api/contract/backups.ts';
import type { ErrorBody } from '../../../core/errors.ts';
import { formatSize } from '../../../core/size.ts';
import type { Cli } from '../../cli.ts';
import { errorOf } from '../../error.ts';
import { formatAge } from '../../render/duration.ts';
import { printTable } from '../../render/table.ts';

export interface RestoreOptions {
  readonly list?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export const restore = async (
  cli: Cli,
  backup: string | undefined,
  options: RestoreOptions,
): Promise<void> => {
  if (options.list === true) {
    await printBackups(cli, (await callProgram(cli, ['list'])) as BackupInfo[]);
    return;
  }
  const words = backup === undefined ? ['restore'] : ['restore', backup];
  const report = (await callProgram(cli, words)) as RestoreReport;
  if (cli.isJson) cli.json(report);
  else if (!cli.isQuiet) {
    cli.say(`restored ${report.database} from ${report.backup}`);
    if (report.setAside !== null) cli.say(`what was there is now ${report.setAside}`);
    cli.say('see `banger doctor --leaks` for what came to the host since that backup');
  }
};

const printBackups = async (cli: Cli, backups: readonly BackupInfo[]): Promise<void> => {
  if (cli.isJson) cli.json(backups);
  else if (cli.isQuiet) cli.out(backups.map(({ name }) => `${name}\n`).join(''));
  else
    await printTable(
      cli,
      ['NAME', 'WHY', 'SCHEMA', 'SIZE', 'AGE', 'STATE'],
      backups.map(({ name, kind, schema, bytes, createdAt, state, detail }) => [
        name,
        kind === 'upgrade' ? 'before an upgrade' : 'daily',
        String(schema),
        formatSize(bytes),
        formatAge(createdAt),
        detail === '' ? state : `${state}: ${detail}`,
      ]),
    );
};

/** daemon/restore.ts: SQLite is the daemon's, and it is not up with a damaged database. */
const callProgram = (cli: Cli, words: readonly string[]): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const program = join(__dirname, 'restore.js');
    execFile(process.execPath, [program, ...words], { env: cli.env }, (error, stdout, stderr) => {
      if (stdout === '') {
        reject(error ?? new Error(stderr));
        return;
      }
      const answer: unknown = JSON.parse(stdout);
      if (error === null) resolve(answer);
      else reject(errorOf((answer as { error: ErrorBody }).error));
    });
  });
