import { stat } from 'node:fs/promises';
import type { Accepted, VmDetails } from '../../../core/api/contract/types.ts';
import type { Cli } from '../../cli.ts';
import { CliError, exitCodes, usageError } from '../../error.ts';
import { execInVm, loginShell } from '../../exec/exec-in-vm.ts';
import { follow, startUndone } from '../../operation/follow.ts';
import { printError } from '../../render/print-error.ts';
import { shellWord } from '../../render/shell-word.ts';
import { holdLease } from './lease.ts';
import { requestVm, type NewVmOptions } from './new-vm.ts';
import { sayContents, type ContentsOptions } from './workspace/arguments.ts';
import { bringIn, checkContents } from './workspace/prepare.ts';

export interface RunOptions extends NewVmOptions, ContentsOptions {
  readonly rm?: boolean | undefined;
}

export const runVm = async (
  cli: Cli,
  path: string | undefined,
  options: RunOptions,
): Promise<void> => {
  const isEphemeral = options.rm === true;
  assertPurpose(cli, isEphemeral);
  if (path === undefined) assertNoContents(options);
  else {
    await assertFolder(path);
    // No VM is made for a repository that cannot go in.
    await checkContents(cli, path, options);
  }
  const { vm, operation } = await requestVm(cli, options, { ephemeral: isEphemeral });
  const letGo = isEphemeral ? await holdLease(cli.client, vm.id) : undefined;
  try {
    if (operation !== undefined)
      await follow(cli, operation, { isCancellable: true, afterCancel: startUndone });
    const cwd = path === undefined ? undefined : await prepared(cli, vm.id, path, options);
    cli.exitCode = await use(cli, vm, isEphemeral, cwd);
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
  cwd: string | undefined,
): Promise<number> => {
  if (cli.command !== undefined) return execInVm(cli, vm.id, { argv: cli.command, cwd });
  if (!cli.isQuiet && !cli.isJson) cli.say(nextSteps(vm.name, isEphemeral, cwd));
  if (cli.isJson) cli.json(await cli.client.get<VmDetails>(`/v1/vms/${vm.id}`));
  else if (cli.stdinIsTerminal) return execInVm(cli, vm.id, { argv: loginShell, cwd });
  else if (cli.isQuiet) cli.out(`${vm.id}\n`);
  return 0;
};

/** @returns the repository's folder in the guest */
const prepared = async (
  cli: Cli,
  vm: string,
  path: string,
  options: RunOptions,
): Promise<string> => {
  const workspace = await bringIn(cli, vm, path, options);
  if (!cli.isQuiet && !cli.isJson) sayContents(cli, { ...workspace, notices: [] });
  return workspace.guestPath;
};

/** `vm run ls` means `vm run -- ls`. */
const assertFolder = async (path: string): Promise<void> => {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw usageError(
      `'${path}' is no folder`,
      'Name one of a git repository; a command goes after --, as in: banger vm run -- uname -a.',
    );
};

const assertNoContents = (options: ContentsOptions): void => {
  const { guestPath, branch, from, mode, includeUntracked } = options;
  if ([guestPath, branch, from, mode, includeUntracked].some((each) => each !== undefined))
    throw usageError(
      'there is no repository that this could be of',
      'Name it, for example: banger vm run . --branch try.',
    );
};

/** As commands to paste. */
const nextSteps = (name: string, isEphemeral: boolean, cwd: string | undefined): string => {
  const use = [
    `  banger vm ssh ${name}`,
    cwd === undefined
      ? `  banger vm exec ${name} -- uname -a`
      : `  banger vm exec -w ${shellWord(cwd)} ${name} -- git status`,
    ...(cwd === undefined ? [] : [`  banger vm workspace export ${name} --output ${name}.patch`]),
  ];
  if (isEphemeral)
    return [`VM '${name}' is yours until you leave its shell. From another terminal:`, ...use].join(
      '\n',
    );
  return [
    `VM '${name}' is running and stays after you leave. Next:`,
    ...use,
    `  banger vm stop ${name}`,
    // By force what was not exported would be lost without a question.
    cwd === undefined ? `  banger vm delete --force ${name}` : `  banger vm delete ${name}`,
  ].join('\n');
};

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
