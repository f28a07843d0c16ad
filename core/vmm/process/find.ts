import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessIdentity } from '../../host/executor.ts';
import { isProcessAlive, processIdentity } from '../../host/process-identity.ts';

/** How the processes of a VMM are known among all others, by what is in their arguments. */
export interface VmmMarks {
  /** The driver's: letters, digits and hyphens. */
  readonly id: string;
  /** As messages call it: `QEMU`. */
  readonly title: string;
  /** The option that is followed by the name: `-name`. */
  readonly nameFlag: string;
  /** Where the name has to tell the VM as well: what follows our own, after a `-`. */
  suffixOf?(vmId: string): string;
  /** Which VM's it is, of a process that no claim knows. */
  vmIdOf(argv: readonly string[]): string | undefined;
}

const commandLine = async (pid: string): Promise<string[]> => {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return []; // it ended meanwhile
    throw error;
  }
};

/** What follows an option. */
export const argumentOf = (argv: readonly string[], flag: string): string | undefined =>
  argv.includes(flag) ? argv[argv.indexOf(flag) + 1] : undefined;

export interface NamedProcess extends ProcessIdentity {
  readonly name: string;
  readonly vmId: string | undefined;
  /** The one that keeps the VMM's logs small: it has the VMM's arguments after its own, see native/bounded-output.c. */
  readonly isWriter: boolean;
}

/** The live processes whose name is accepted, by what the kernel says of them now. */
export const findByName = async (
  { nameFlag, vmIdOf }: VmmMarks,
  accept: (name: string) => boolean,
): Promise<NamedProcess[]> => {
  const found: NamedProcess[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const argv = await commandLine(pid);
    const name = argumentOf(argv, nameFlag);
    if (name === undefined || !accept(name)) continue;
    const identity = await processIdentity(Number(pid));
    if (identity === undefined || !(await isProcessAlive(identity))) continue;
    const isWriter = basename(argv[0] ?? '') === 'bounded-output';
    found.push({ ...identity, name, isWriter, vmId: vmIdOf(argv) });
  }
  return found;
};

/** Of a VMM of ours: the VM's folder. Undefined where it has just ended. */
export const workingFolder = async ({ pid }: ProcessIdentity): Promise<string | undefined> => {
  try {
    return await readlink(`/proc/${String(pid)}/cwd`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const pollMs = 10;

/** How long what a VMM has said last may take to reach its log, milliseconds. */
export const writerMs = 2_000;

/**
 * Waits until no process has that name any more: the VMM, and the writer of its logs, which ends when all that the VMM
 * has said is in them.
 * @returns those that are there at the deadline
 */
export const waitNameGone = async (
  marks: VmmMarks,
  name: string,
  deadlineMs: number,
): Promise<NamedProcess[]> => {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const found = await findByName(marks, (candidate) => candidate === name);
    if (found.length === 0 || performance.now() > end) return found;
    await delay(pollMs);
  }
};

/** Proof that a process is ours: pid, start time, and our token in its arguments. */
export const isOurs = async (
  { nameFlag }: VmmMarks,
  identity: ProcessIdentity,
  name: string,
): Promise<boolean> =>
  (await isProcessAlive(identity)) &&
  argumentOf(await commandLine(String(identity.pid)), nameFlag) === name;
