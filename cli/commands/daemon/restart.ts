import type { Cli } from '../../cli.ts';
import { runningDaemon } from '../../daemon/running.ts';
import { startDaemon } from '../../daemon/start.ts';
import { stopDaemon } from '../../daemon/stop.ts';

export const restart = async (cli: Cli): Promise<void> => {
  const { socketPath } = cli.paths;
  const before = await runningDaemon(socketPath);
  if (before !== undefined) await stopDaemon(cli, before, { replace: true, isQuiet: cli.isQuiet });
  await startDaemon(cli.paths, cli.env);
  const { pid } = (await runningDaemon(socketPath)) ?? {};
  if (!cli.isQuiet) cli.say(`daemon started (pid ${String(pid)})`);
};
