import { createInterface } from 'node:readline/promises';
import type { Cli } from './cli.ts';

/** Whether there is somebody to ask: a person who reads and types. */
export const canAsk = (cli: Cli): boolean =>
  cli.stdinIsTerminal && cli.stderrIsTerminal && !cli.isJson && !cli.isQuiet;

/** Asks on standard error, where everything is said. Anything but yes is no; so is the end of input. */
export const ask = async (question: string): Promise<boolean> => {
  // The terminal's own line editing does, and it writes no escape sequences.
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: false,
  });
  const ended = new AbortController();
  lines.once('close', () => {
    ended.abort();
  });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: ended.signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!ended.signal.aborted) throw error;
    process.stderr.write('\n');
    return false;
  } finally {
    lines.close();
  }
};
