import { setTimeout as delay } from 'node:timers/promises';
import { hostState } from '../../support/host-state.ts';

/** A daemon and its VMs, as one finds their traces on the host. */
export interface Traces {
  /** The state directory's token: undefined where no daemon ever was. */
  readonly instance: string | undefined;
  /** Folders below which no process, loop or mount may be. */
  readonly folders: readonly string[];
}

/** What is on the host of this instance alone, whatever others do on it at the same time. */
export const tracesOf = async ({ instance, folders }: Traces): Promise<string[]> => {
  const marks =
    instance === undefined ? [] : [`bgr-${instance}`, `banger:${instance}`, `banger-${instance}`];
  const objects = /^(link|loop|dm|mount|cgroup|process|sysctl|socket|ip6?tables-save) /;
  return [...(await hostState({ directories: folders }))].filter(
    (line) =>
      objects.test(line) &&
      // The state's own filter knows a process by its arguments, folder and environment.
      (line.startsWith('process ') || [...marks, ...folders].some((mark) => line.includes(mark))),
  );
};

/** Waits until nothing is left, since the kernel takes links away in its own time. @returns the rest */
export const leftovers = async (traces: Traces, deadlineMs = 10_000): Promise<string[]> => {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const found = await tracesOf(traces);
    if (found.length === 0 || performance.now() > deadline) return found;
    await delay(100);
  }
};

/** Ends processes that a failed test left, so that they disturb no other. */
export const endProcesses = (found: readonly string[]): void => {
  for (const line of found) {
    const pid = Number(/^process (\d+) /.exec(line)?.[1]);
    if (!(pid > 1)) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
};
