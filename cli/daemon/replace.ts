import type { Cli } from '../cli.ts';
import type { ForeignDaemon } from '../client/daemon-client.ts';
import { runningDaemon } from './running.ts';
import { startDaemon } from './start.ts';
import { stopDaemon } from './stop.ts';

/** Puts a daemon of our build in the place of a foreign one. Running VMs stay. */
export const replaceDaemon = async (cli: Cli, foreign: ForeignDaemon): Promise<void> => {
  const now = await runningDaemon(cli.paths.socketPath);
  // Another client may have replaced it since: that one must not be stopped.
  if (now !== undefined && now.pid !== foreign.pid) return;
  await stopDaemon(cli, foreign, { replace: true, isQuiet: cli.isJson || cli.isQuiet });
  await startDaemon(cli.paths, cli.env);
  if (!cli.isJson && !cli.isQuiet)
    cli.say('banger: replaced the daemon, which was built from other code; running VMs stay');
};
