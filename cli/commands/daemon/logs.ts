import type { Cli } from '../../cli.ts';
import { printLog } from '../../logs/print-log.ts';
import { PinoRenderer } from '../../logs/render-pino.ts';

export interface LogsOptions {
  readonly follow?: boolean | undefined;
  readonly lines?: number | undefined;
}

/** The file itself, so that it works without a daemon: JSON lines as they are, or readable ones on a terminal. */
export const logs = async (cli: Cli, options: LogsOptions): Promise<void> => {
  const renderer = cli.stdoutIsTerminal ? new PinoRenderer() : undefined;
  await printLog(cli, cli.paths.daemonLogPath, options, (chunk) => renderer?.push(chunk) ?? chunk);
};
