import type { VmHealth } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { exitCodes } from '../../error.ts';
import { colorsFor } from '../../render/colors.ts';
import { formatSpan } from '../../render/duration.ts';
import { fields } from '../../render/fields.ts';
import { formatDisks } from '../../render/figures.ts';

/** Exits 1 where it is not well, as `doctor` does of the host. */
export const showHealth = async (cli: Cli, name: string): Promise<void> => {
  const health = await cli.client.get<VmHealth>(`/v1/vms/${checkVmName(name)}/health`);
  if (cli.isJson) cli.json(health);
  else if (!cli.isQuiet) cli.out(described(cli, health));
  cli.exitCode = health.healthy ? 0 : exitCodes.unhealthy;
};

const described = (cli: Cli, health: VmHealth): string => {
  const colors = colorsFor(cli.stdoutIsTerminal, cli.env);
  const verdict = health.healthy ? colors.green('healthy') : colors.red('not healthy');
  const { roundTripMs, uptimeSeconds } = health;
  return (
    `${health.name} is ${verdict}\n` +
    fields([
      ['state', health.state],
      [
        'agent',
        roundTripMs === null ? health.agent : `${health.agent} (${String(roundTripMs)} ms)`,
      ],
      ['version', health.agentVersion],
      ['boot id', health.bootId],
      ['init', health.init],
      ['up', uptimeSeconds === null ? null : formatSpan(uptimeSeconds)],
      ['disks', formatDisks(health.disks)],
      ...health.problems.map((problem) => ['problem', problem] as const),
    ])
  );
};
