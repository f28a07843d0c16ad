import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { SshTarget } from '../../../capabilities/ssh/contract.ts';
import type { VmHealth } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { CliError, codeOf } from '../../error.ts';
import { cutSshArguments } from './ssh-arguments.ts';

/** The system’s own OpenSSH, with the guest's key and host key. Exits with its code. */
export const sshToVm = async (cli: Cli, name: string, words: readonly string[]): Promise<void> => {
  checkVmName(name);
  const target = await cli.client.post<SshTarget>('/v1/x/ssh/connect', { vm: name });
  cli.exitCode = await runSsh(sshArguments(target, words, cli.command));
  const hasCommand = cli.command !== undefined || cutSshArguments(words).command.length > 0;
  // What a script runs is not a person's session, who may forget it.
  if (cli.isQuiet || (hasCommand && !cli.stderrIsTerminal)) return;
  if (await isRunning(cli, name))
    cli.say(`VM '${name}' is still running; stop it with: banger vm stop ${name}`);
};

const isRunning = async (cli: Cli, name: string): Promise<boolean> => {
  try {
    return (await cli.client.get<VmHealth>(`/v1/vms/${name}/health`)).state === 'running';
  } catch (error) {
    // Deleted meanwhile, or no daemon any more: then there is nothing to remind of.
    if (error instanceof CliError) return false;
    throw error;
  }
};

const sshArguments = (
  target: SshTarget,
  words: readonly string[],
  command: readonly string[] = [],
): string[] => {
  const cut = cutSshArguments(words);
  return [
    ...cut.options,
    ...target.options.flatMap((option) => ['-o', option]),
    ...['-p', String(target.port)],
    `${target.user}@${target.host}`,
    '--',
    ...cut.command,
    ...command,
  ];
};

/** The terminal sends Ctrl-C to ssh too, which knows what to do with it. */
const ofTerminal = ['SIGINT', 'SIGQUIT'] as const;
const passedOn = ['SIGTERM', 'SIGHUP'] as const;

const runSsh = (args: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn('ssh', args, { stdio: 'inherit' });
    const ignore = (): void => undefined;
    const passOn = (signal: NodeJS.Signals): void => {
      child.kill(signal);
    };
    for (const signal of ofTerminal) process.on(signal, ignore);
    for (const signal of passedOn) process.on(signal, passOn);
    child.once('error', (error) => {
      reject(
        codeOf(error) === 'ENOENT'
          ? new CliError({
              code: 'TOOL_MISSING',
              message: 'ssh is not installed',
              remedy: 'Install openssh-client; `banger vm exec` works without it.',
            })
          : error,
      );
    });
    child.once('exit', (code, signal) => {
      for (const each of ofTerminal) process.off(each, ignore);
      for (const each of passedOn) process.off(each, passOn);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
