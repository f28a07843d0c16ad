import { Command } from '@commander-js/extra-typings';
import { version } from './build.ts';
import type { Cli } from './cli.ts';
import {
  defineActions,
  defineDaemonCommands,
  defineDoctor,
  defineImageCommands,
  defineKernelCommands,
} from './commands/other-commands.ts';
import { defineSshConfig } from './commands/ssh-config/commands.ts';
import { defineVmCommands } from './commands/vm/commands.ts';
import { usageError } from './error.ts';

/** These take what stands after `--`. */
const takesCommand: readonly string[] = ['run', 'exec', 'ssh'];

/** The words that banger understands. */
export const createProgram = (cli: Cli): Command => {
  const program = new Command('banger')
    .description('Named, persistent microVMs on this machine, in a second.')
    .version(`banger ${version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help on a command')
    .configureHelp({ showGlobalOptions: false, subcommandTerm: (command) => command.name() })
    .enablePositionalOptions()
    .exitOverride()
    // main.ts says what went wrong, in the same form as every other error.
    .configureOutput({ outputError: () => undefined })
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm run                      a shell in a new VM, as root\n' +
        '  banger vm run --rm -- uname -a     one command in a VM of its own\n' +
        '  banger vm list --json              for scripts; errors are JSON then, too\n' +
        '\nExit codes: 1 not well (health, doctor), 2 usage, 125 banger failed, otherwise the command’s own.',
    );
  program.hook('preAction', (_, action) => {
    cli.isQuiet = 'quiet' in action.opts();
    if (cli.command !== undefined && !takesCommand.includes(action.name()))
      throw usageError(
        `\`${action.name()}\` takes nothing after --`,
        'Leave it out, or see --help.',
      );
  });
  defineVmCommands(program, cli);
  defineSshConfig(program, cli);
  defineImageCommands(program, cli);
  defineKernelCommands(program, cli);
  defineDaemonCommands(program, cli);
  defineDoctor(program, cli);
  defineActions(program, cli);
  return program;
};
