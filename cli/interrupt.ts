import type { Cli } from './cli.ts';
import { exitCodes } from './error.ts';

/**
 * Work that goes on until somebody has seen enough: ^C, or the end of whoever reads our output, is its proper end.
 * What was written so far is whole, and the exit code is that of an interrupted command.
 */
export const untilInterrupted = async (
  cli: Cli,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> => {
  const over = new AbortController();
  const interrupt = (): void => {
    cli.exitCode = exitCodes.interrupted;
    over.abort();
  };
  const end = (): void => {
    over.abort();
  };
  process.once('SIGINT', interrupt);
  cli.outBroken.addEventListener('abort', end, { once: true });
  if (cli.outBroken.aborted) end();
  try {
    await work(over.signal);
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    process.off('SIGINT', interrupt);
    cli.outBroken.removeEventListener('abort', end);
  }
};
