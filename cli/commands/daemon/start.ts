import { buildId } from '../../build.ts';
import type { Cli } from '../../cli.ts';
import { replaceDaemon } from '../../daemon/replace.ts';
import { runningDaemon } from '../../daemon/running.ts';
import { startDaemon } from '../../daemon/start.ts';

export const start = async (cli: Cli): Promise<void> => {
  const running = await runningDaemon(cli.paths.socketPath);
  if (running === undefined) {
    await startDaemon(cli.paths, cli.env);
    const { pid } = (await runningDaemon(cli.paths.socketPath)) ?? {};
    if (!cli.isQuiet) cli.say(`daemon started (pid ${String(pid)})`);
  } else if (running.buildId !== buildId) await replaceDaemon(cli, running);
  else if (!cli.isQuiet) cli.say(`the daemon is running already (pid ${String(running.pid)})`);
};
