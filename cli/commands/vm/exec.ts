import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { usageError } from '../../error.ts';
import { execInVm } from '../../exec/exec-in-vm.ts';

export interface ExecOptions {
  readonly tty?: boolean | undefined;
  readonly stdin: boolean;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
}

export const execCommand = async (
  cli: Cli,
  name: string,
  words: readonly string[],
  options: ExecOptions,
): Promise<void> => {
  checkVmName(name);
  if (cli.command === undefined || cli.command.length === 0 || words.length > 0)
    throw usageError(
      'the command goes after --',
      `For example: banger vm exec ${name} -- ${words.length > 0 ? words.join(' ') : 'uname -a'}`,
    );
  cli.exitCode = await execInVm(cli, name, {
    argv: cli.command,
    hasTty: options.tty,
    hasStdin: options.stdin,
    cwd: options.cwd,
    user: options.user,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
};
