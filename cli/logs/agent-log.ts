import { setTimeout as delay } from 'node:timers/promises';
import type { AgentLog } from '../../capabilities/stats/contract.ts';
import type { Cli } from '../cli.ts';
import { untilInterrupted } from '../interrupt.ts';
import { SequenceStripper } from './strip-sequences.ts';

interface LogOptions {
  readonly follow?: boolean | undefined;
  readonly lines?: number | undefined;
}

const pollMs = 1_000;

/** The agent keeps its log in the guest: it is asked for, again and again with `follow`. */
export const printAgentLog = async (cli: Cli, vm: string, options: LogOptions): Promise<void> => {
  const ask = async (): Promise<string[]> => {
    const { text } = await cli.client.post<AgentLog>('/v1/x/stats/agent-log', { vm });
    return linesOf(text);
  };
  const write = (lines: readonly string[]): void => {
    cli.out(lines.map((line) => `${line}\n`).join(''));
  };
  let known = await ask();
  write(options.lines === undefined ? known : known.slice(-options.lines));
  if (options.follow !== true) return;
  await untilInterrupted(cli, async (signal) => {
    for (;;) {
      await delay(pollMs, undefined, { signal });
      const now = await ask();
      write(newLines(known, now));
      known = now;
    }
  });
};

/** A guest writes what it likes, and a line is never for the terminal to obey. */
const linesOf = (text: string): string[] => {
  const lines = new SequenceStripper().push(Buffer.from(text)).split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
};

/** What stands behind the last line that is known: the beginning may have been dropped meanwhile. */
export const newLines = (known: readonly string[], now: readonly string[]): readonly string[] => {
  const last = known.at(-1);
  return last === undefined ? now : now.slice(now.lastIndexOf(last) + 1);
};
