import { readFile } from 'node:fs/promises';
import { isProcessAlive, type ProcessIdentity } from '../../core/plugin-api/index.ts';

/** What a VMM has taken of the host since it began. */
export interface HostFigures {
  readonly memoryBytes: number;
  readonly cpuMs: number;
}

/** /proc counts time in ticks of USER_HZ, which is 100 a second wherever Linux runs VMs (time(7)). */
const msPerTick = 10;

/** Undefined where the process is gone, or not ours to see. */
export const readHostFigures = async (
  process: ProcessIdentity,
): Promise<HostFigures | undefined> => {
  const folder = `/proc/${String(process.pid)}`;
  try {
    const [stat, status] = await Promise.all([
      readFile(`${folder}/stat`, 'latin1'),
      readFile(`${folder}/status`, 'latin1'),
    ]);
    if (!(await isProcessAlive(process))) return undefined;
    // proc(5): fields 14 and 15, counted from behind the name, which may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
    return Number.isFinite(ticks) && Number.isFinite(kib)
      ? { memoryBytes: kib * 1024, cpuMs: ticks * msPerTick }
      : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return undefined;
    throw error;
  }
};
