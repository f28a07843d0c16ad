import { readFile } from 'node:fs/promises';
import type { ProcessIdentity } from './executor.ts';

interface Stat {
  readonly state: string;
  readonly startTicks: number;
}

/** proc(5): the command name, in parentheses, may itself hold spaces and parentheses. */
const readStat = async (pid: number): Promise<Stat | undefined> => {
  let text: string;
  try {
    text = await readFile(`/proc/${String(pid)}/stat`, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: Number(fields[19]) };
};

/** What tells this process from a later one with the same pid, or undefined when it is gone. */
export const processIdentity = async (pid: number): Promise<ProcessIdentity | undefined> => {
  const stat = await readStat(pid);
  return stat === undefined ? undefined : { pid, startTicks: stat.startTicks };
};

/** A zombie counts as gone: where PID 1 does not reap, it stays for ever. */
export const isProcessAlive = async (identity: ProcessIdentity): Promise<boolean> => {
  const stat = await readStat(identity.pid);
  return (
    stat !== undefined &&
    stat.startTicks === identity.startTicks &&
    stat.state !== 'Z' &&
    stat.state !== 'X'
  );
};
