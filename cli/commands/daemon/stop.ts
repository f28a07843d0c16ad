import type { DaemonStatus } from '../../../core/api/contract/types.ts';
import type { Cli } from '../../cli.ts';
import { runningDaemon } from '../../daemon/running.ts';
import { stopDaemon } from '../../daemon/stop.ts';

export const stop = async (cli: Cli): Promise<void> => {
  const running = await runningDaemon(cli.paths.socketPath);
  if (running === undefined) {
    if (!cli.isQuiet) cli.say('the daemon is not running');
    return;
  }
  await stopDaemon(cli, running, { replace: false, isQuiet: cli.isQuiet });
  if (!cli.isQuiet) cli.say(`daemon stopped${whatStays(running)}`);
};

const whatStays = ({ vmsRunning }: DaemonStatus): string => {
  if (vmsRunning === 0) return '';
  const vms = vmsRunning === 1 ? '1 VM keeps' : `${String(vmsRunning)} VMs keep`;
  return `; ${vms} running (the next banger command finds them again)`;
};
