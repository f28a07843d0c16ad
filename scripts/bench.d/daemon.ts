import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Resident memory in MiB, proc(5). */
export const residentMib = (pid: number): number => {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 102.4) / 10;
};

/** utime + stime: fields 14 and 15 of /proc/PID/stat, behind the command's closing parenthesis. */
const cpuTicks = (pid: number): number => {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
};

/** Per cent of one CPU over that time, during which nobody talks to the daemon. */
export const idleCpuPercent = async (
  pid: number,
  seconds: number,
  signal: AbortSignal,
): Promise<number> => {
  const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  const before = cpuTicks(pid);
  await delay(seconds * 1000, undefined, { signal });
  return Math.round(((cpuTicks(pid) - before) / ticksPerSecond / seconds) * 10_000) / 100;
};
