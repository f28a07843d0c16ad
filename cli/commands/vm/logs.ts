import type { VmDetails } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { CliError, usageError } from '../../error.ts';
import { printAgentLog } from '../../logs/agent-log.ts';
import { printLog } from '../../logs/print-log.ts';
import { SequenceStripper } from '../../logs/strip-sequences.ts';

export interface LogsOptions {
  readonly follow?: boolean | undefined;
  readonly lines?: number | undefined;
  readonly console?: boolean | undefined;
  readonly agent?: boolean | undefined;
  readonly vmm?: boolean | undefined;
  readonly metrics?: boolean | undefined;
}

export const showLogs = async (cli: Cli, name: string, options: LogsOptions): Promise<void> => {
  const chosen = (['console', 'agent', 'vmm', 'metrics'] as const).filter(
    (each) => options[each] === true,
  );
  if (chosen.length > 1)
    throw usageError('one log at a time', `Say --${chosen[0] ?? ''} or --${chosen[1] ?? ''}.`);
  const [which = 'console'] = chosen;
  if (which === 'agent') {
    await printAgentLog(cli, checkVmName(name), options);
    return;
  }
  const { logs } = await cli.client.get<VmDetails>(`/v1/vms/${checkVmName(name)}`);
  const path = logs[which];
  if (path === undefined && which === 'metrics' && logs['console'] !== undefined) {
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `the VMM of VM '${name}' writes no ${which}`,
      remedy: 'Firecracker does; see `vmm` in config.toml.',
    });
  }
  if (path === undefined) {
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `VM '${name}' has no ${which} log yet`,
      remedy: `It gets one when it starts: banger vm start ${name}.`,
    });
  }
  // A guest writes what it likes: on a terminal its escape sequences would be ours.
  const stripper = cli.stdoutIsTerminal ? new SequenceStripper() : undefined;
  await printLog(cli, path, options, (chunk) => stripper?.push(chunk) ?? chunk);
};
