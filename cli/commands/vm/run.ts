import type { Accepted } from '../../../core/api/contract/types.ts';
import type { Cli } from '../../cli.ts';
import { CliError, exitCodes, usageError } from '../../error.ts';
import { execInVm, loginShell } from '../../exec/exec-in-vm.ts';
import { follow } from '../../operation/follow.ts';
import { printError } from '../../render/print-error.ts';
import { holdLease } from './lease.ts';
import { requestVm, type NewVmOptions } from './new-vm.ts';

export interface RunOptions extends NewVmOptions {
  readonly rm?: boolean | undefined;
}

export const runVm = async (cli: Cli, options: RunOptions): Promise<void> => {
  const isEphemeral = options.rm === true;
  assertPurpose(cli, isEphemeral);
  const { vm, operation } = await requestVm(cli, options, { ephemeral: isEphemeral });
  const letGo = isEphemeral ? await holdLease(cli.client, vm.id) : undefined;
  try {
    if (operation !== undefined) await follow(cli, operation, { isCancellable: true });
    cli.exitCode = await use(cli, vm, isEphemeral);
  } finally {
    if (isEphemeral) await remove(cli, vm.id);
    letGo?.();
  }
};

/** @throws CliError for a command line that would make a VM for nothing */
const assertPurpose = (cli: Cli, isEphemeral: boolean): void => {
  if (cli.command?.length === 0)
    throw usageError('no command after --', 'Write it there: banger vm run -- uname -a.');
  if (isEphemeral && cli.command === undefined && !cli.stdinIsTerminal)
    throw usageError(
      '--rm has nothing to run: there is neither a command nor a terminal',
      'Write one: banger vm run --rm -- uname -a.',
    );
};

/** The command, a shell, or neither where nobody could type. */
const use = async (
  cli: Cli,
  vm: { id: string; name: string },
  isEphemeral: boolean,
): Promise<number> => {
  if (cli.command !== undefined) return execInVm(cli, vm.id, { argv: cli.command });
  if (!cli.isQuiet) cli.say(nextSteps(vm.name, isEphemeral));
  if (cli.stdinIsTerminal) return execInVm(cli, vm.id, { argv: loginShell });
  if (cli.isQuiet) cli.out(`${vm.id}\n`);
  return 0;
};

const nextSteps = (name: string, isEphemeral: boolean): string =>
  isEphemeral
    ? `VM '${name}' is yours until you leave its shell. From another terminal:\n` +
      `  banger vm exec ${name} -- uname -a\n  banger vm ssh ${name}`
    : `VM '${name}' is running and stays after you leave. Next:\n` +
      `  banger vm ssh ${name}\n` +
      `  banger vm exec ${name} -- uname -a\n` +
      `  banger vm stop ${name}\n` +
      `  banger vm delete --force ${name}`;

/** The command's own failure is what its caller wants to hear of; a VM that stays is told besides. */
const remove = async (cli: Cli, id: string): Promise<void> => {
  try {
    const { operation } = await cli.client.delete<Partial<Accepted>>(`/v1/vms/${id}?force=true`);
    if (operation !== undefined) await follow(cli, operation, { isQuiet: true });
  } catch (error) {
    if (error instanceof CliError && error.body.code === 'VM_UNKNOWN') return;
    const code = printError(cli, error);
    if (cli.exitCode === 0) cli.exitCode = code === exitCodes.usage ? exitCodes.failure : code;
  }
};
