import { CommanderError, type Command, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { Cli } from './cli.ts';
import { codeOf, exitCodes, usageError } from './error.ts';
import { createProgram } from './program.ts';
import { printError } from './render/print-error.ts';
import { splitArguments } from './split-arguments.ts';

/** Help and version were printed; everything else that commander throws is a wrong command line. */
const exitOf = (cli: Cli, program: Command, thrown: unknown, own: readonly string[]): number => {
  if (!(thrown instanceof CommanderError)) return printError(cli, thrown);
  if (thrown.exitCode === 0) return 0;
  if (thrown.code === 'commander.help') return exitCodes.usage;
  // "error: unknown option '--nam'\n(Did you mean --name?)"
  const [first = '', ...hints] = thrown.message.replace(/^error: /, '').split('\n');
  const words = knownWords(program, own);
  return printError(
    cli,
    usageError(
      [first.replace(/\.$/, ''), ...hints].join(' '),
      `See \`${['banger', ...words, '--help'].join(' ')}\`.`,
    ),
  );
};

/** The words at the beginning that name a command: `vm run` of `vm run --nam x`. */
const knownWords = (program: Command, own: readonly string[]): string[] => {
  let command: CommandUnknownOpts | undefined = program;
  return own.filter((word) => {
    command = command?.commands.find((each) => each.name() === word || each.alias() === word);
    return command !== undefined;
  });
};

/** process.exit would cut off what a pipe has not taken yet. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else
      stream.write('', () => {
        resolve();
      });
  });

const main = async (): Promise<number> => {
  const { own, command } = splitArguments(process.argv.slice(2));
  const cli = new Cli(own, command);
  process.stdout.on('error', (error) => {
    if (codeOf(error) === 'EPIPE') cli.noteBrokenOut();
    else throw error;
  });
  // With nobody to tell there is nothing left to say.
  process.stderr.on('error', () => undefined);
  const program = createProgram(cli);
  try {
    await program.parseAsync(own, { from: 'user' });
  } catch (error) {
    cli.exitCode = exitOf(cli, program, error, own);
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  return cli.exitCode === 0 && cli.outBroken.aborted ? exitCodes.brokenPipe : cli.exitCode;
};

void main().then((code) => process.exit(code));
