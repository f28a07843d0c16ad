import type { DaemonStatus } from '../../../core/api/contract/types.ts';
import { formatSize } from '../../../core/size.ts';
import { buildId } from '../../build.ts';
import type { Cli } from '../../cli.ts';
import { runningDaemon } from '../../daemon/running.ts';
import { CliError } from '../../error.ts';
import { formatDuration } from '../../render/duration.ts';
import { fields } from '../../render/fields.ts';

export const status = async (cli: Cli): Promise<void> => {
  const daemon = await runningDaemon(cli.paths.socketPath);
  if (daemon === undefined) {
    throw new CliError({
      code: 'DAEMON_NOT_RUNNING',
      message: `no daemon answers on ${cli.paths.socketPath}`,
      remedy: 'Any command that needs one starts it, and so does `banger daemon start`.',
    });
  }
  if (cli.isJson) cli.json(daemon);
  else if (cli.isQuiet) cli.out(`${String(daemon.pid)}\n`);
  else cli.out(describe(daemon));
};

const describe = (daemon: DaemonStatus): string =>
  fields([
    ['pid', String(daemon.pid)],
    [
      'version',
      `${daemon.version} (${daemon.buildId === buildId ? 'this build' : 'another build than this banger; the next command replaces it'})`,
    ],
    ['up', formatDuration(daemon.uptimeSeconds * 1000)],
    ['memory', formatSize(daemon.rssBytes)],
    ['vms', `${String(daemon.vms)}, of which ${String(daemon.vmsRunning)} run`],
    ['socket', daemon.socket],
    ['config', `${daemon.configPath}${daemon.configFound ? '' : ' (not there; defaults)'}`],
    ['state', daemon.stateDirectory],
    ['log', daemon.logPath],
    ['recovery', describeRecovery(daemon.recovery)],
    ...daemon.operations.map(
      ({ kind, vmName, id }) => ['operation', [kind, vmName, `(${id})`].join(' ')] as const,
    ),
    [
      'capabilities',
      daemon.capabilities
        .filter(({ enabled }) => enabled)
        .map(({ id }) => id)
        .join(', '),
    ],
    [
      'switched off',
      daemon.capabilities
        .filter(({ enabled, error }) => !enabled && error === null)
        .map(({ id }) => id)
        .join(', '),
    ],
    ...daemon.capabilities.flatMap(({ id, error }) =>
      error === null ? [] : [['failed', `${id}: ${error}`] as const],
    ),
  ]);

const describeRecovery = ({ state, pending, waitingFor }: DaemonStatus['recovery']): string => {
  if (state === 'done') return '';
  if (state === 'waiting')
    return `waits for what an earlier daemon has started: ${waitingFor.join(', ')}`;
  return pending.length === 0 ? 'under way' : `under way for ${pending.join(', ')}`;
};
