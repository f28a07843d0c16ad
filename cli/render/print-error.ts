import { BangerError, messageOf } from '../../core/errors.ts';
import type { Cli } from '../cli.ts';
import { CliError, type CliErrorBody } from '../error.ts';
import { colorsFor } from './colors.ts';
import { plainLine } from './plain-text.ts';

/** Says what went wrong and what to do about it. @returns the exit code */
export const printError = (cli: Cli, thrown: unknown): number => {
  const error = thrown instanceof CliError ? thrown : new CliError(bodyOf(thrown));
  if (cli.isJson) cli.say(JSON.stringify({ error: error.body }));
  else {
    const colors = colorsFor(cli.stderrIsTerminal, cli.env);
    const { message, remedy, operationId, logPath } = error.body;
    cli.say(`${colors.red('banger:')} ${sentence(message)} ${plainLine(remedy)}`);
    if (operationId !== undefined) cli.say(colors.dim(`  operation ${operationId}`));
    if (logPath !== undefined) cli.say(colors.dim(`  log ${plainLine(logPath)}`));
    if (!(thrown instanceof CliError) && thrown instanceof Error && cli.env['BANGER_DEBUG'])
      cli.say(thrown.stack ?? '');
  }
  return error.exitCode;
};

const sentence = (message: string): string => {
  const text = plainLine(message);
  return /[.!?]$/.test(text) ? text : `${text}.`;
};

/** core's own errors (paths) have a body; anything else is a bug of ours. */
const bodyOf = (thrown: unknown): CliErrorBody => {
  if (thrown instanceof BangerError) return thrown.toBody();
  return {
    code: 'INTERNAL',
    message: messageOf(thrown),
    remedy: 'This is a bug in banger; BANGER_DEBUG=1 shows where.',
  };
};
