import type { OperationEvent } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { colorsFor } from './colors.ts';
import { LineReporter } from './line-reporter.ts';
import { LiveReporter } from './live-reporter.ts';

/** Tells on standard error how an operation goes. */
export interface Reporter {
  event(event: OperationEvent): void;
  note(text: string): void;
  /** Leaves the terminal as it was. */
  close(): void;
}

const silent: Reporter = {
  event: () => undefined,
  note: () => undefined,
  close: () => undefined,
};

/** One line that changes on a terminal; lines that stay elsewhere, and where several tell at once. */
export const createReporter = (cli: Cli, isQuiet: boolean, label?: string): Reporter => {
  if (isQuiet || cli.isQuiet || cli.isJson) return silent;
  const isLive = cli.stderrIsTerminal && label === undefined && cli.env['TERM'] !== 'dumb';
  return isLive
    ? new LiveReporter(process.stderr, colorsFor(true, cli.env))
    : new LineReporter((line) => {
        cli.say(line);
      }, label);
};
