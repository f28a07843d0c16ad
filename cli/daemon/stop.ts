import type { DaemonStatus } from '../../core/api/contract/types.ts';
import { buildId } from '../build.ts';
import type { Cli } from '../cli.ts';
import { assertOk, explain, isCut, isNoDaemon, openCall } from '../client/call.ts';
import { CliError } from '../error.ts';
import { poll } from './poll.ts';
import { hasEnded } from './running.ts';

/** The daemon gives operations under way a minute; then it undoes them. */
const stopDeadlineMs = 120_000;

/** Below this nobody wonders why nothing happens. */
const patienceMs = 1_500;

/** Asks that daemon to end, and returns when its process has. */
export const stopDaemon = async (
  cli: Cli,
  daemon: Pick<DaemonStatus, 'pid'>,
  options: { replace: boolean; isQuiet: boolean },
): Promise<void> => {
  const { socketPath } = cli.paths;
  try {
    const response = await openCall(socketPath, buildId, {
      method: 'POST',
      path: '/v1/daemon/stop',
      body: { replace: options.replace },
    });
    await assertOk(response);
    response.resume();
  } catch (error) {
    // On its way out already: what counts is that the process ends.
    if (!isNoDaemon(error) && !isCut(error)) throw explain(error, socketPath);
  }
  const ended = (): true | undefined => (hasEnded(daemon.pid) ? true : undefined);
  if ((await poll(ended, patienceMs)) === true) return;
  if (!options.isQuiet) cli.say('waiting for what the daemon has under way');
  if ((await poll(ended, stopDeadlineMs, 100)) === true) return;
  throw new CliError({
    code: 'DAEMON_UNREACHABLE',
    message: `the daemon (pid ${String(daemon.pid)}) does not end`,
    remedy: `See \`banger daemon logs\`; \`kill -9 ${String(daemon.pid)}\` loses no VM.`,
  });
};
