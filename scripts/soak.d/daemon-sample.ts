import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { residentMib } from '../bench.d/daemon.ts';

export type Descriptors = Readonly<Record<string, number>>;

export interface DaemonSample {
  readonly rssMib: number;
  /** How many of each type: `socket`, `pipe`, `anon_inode:[eventpoll]`, or the file's path. */
  readonly descriptors: Descriptors;
}

export const countOf = (descriptors: Descriptors): number =>
  Object.values(descriptors).reduce((sum, count) => sum + count, 0);

/** proc(5): `socket:[inode]`, `pipe:[inode]`, `anon_inode:[type]`, or a path. */
const typeOf = (target: string): string => /^(socket|pipe):/.exec(target)?.[1] ?? target;

const readDescriptors = (pid: number): Descriptors => {
  const folder = `/proc/${String(pid)}/fd`;
  const counts: Record<string, number> = {};
  for (const fd of readdirSync(folder)) {
    try {
      const type = typeOf(readlinkSync(`${folder}/${fd}`));
      counts[type] = (counts[type] ?? 0) + 1;
    } catch (error) {
      // Closed between the two calls.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return counts;
};

/** A client's connection is closed a moment after the client has gone. */
const settleMs = 3_000;

/** @param expected how many descriptors are worth waiting for */
export const sampleDaemon = async (pid: number, expected: number): Promise<DaemonSample> => {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const descriptors = readDescriptors(pid);
    if (countOf(descriptors) <= expected || performance.now() > deadline)
      return { rssMib: residentMib(pid), descriptors };
    await delay(50);
  }
};
