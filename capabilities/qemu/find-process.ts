import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  isProcessAlive,
  processIdentity,
  type ProcessIdentity,
} from '../../core/plugin-api/index.ts';

const commandLine = async (pid: string): Promise<string[]> => {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return []; // it ended meanwhile
    throw error;
  }
};

/** Whether these arguments are of a QEMU with that `-name`. */
const isNamed = (argv: readonly string[], accept: (name: string) => boolean): boolean => {
  const name = argv[argv.indexOf('-name') + 1];
  return argv.includes('-name') && name !== undefined && accept(name);
};

export interface NamedProcess extends ProcessIdentity {
  readonly name: string;
  /** As its `-uuid` says. */
  readonly vmId: string | undefined;
  /** The one that keeps QEMU's logs small: it has QEMU's arguments after its own, see native/bounded-output.c. */
  readonly isWriter: boolean;
}

/** The live processes whose `-name` is accepted, by what the kernel says of them now. */
export const findByName = async (accept: (name: string) => boolean): Promise<NamedProcess[]> => {
  const found: NamedProcess[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const argv = await commandLine(pid);
    if (!isNamed(argv, accept)) continue;
    const identity = await processIdentity(Number(pid));
    if (identity !== undefined && (await isProcessAlive(identity)))
      found.push({
        ...identity,
        name: argv[argv.indexOf('-name') + 1] ?? '',
        isWriter: basename(argv[0] ?? '') === 'bounded-output',
        vmId: argv.includes('-uuid') ? argv[argv.indexOf('-uuid') + 1] : undefined,
      });
  }
  return found;
};

/** Of a QEMU of ours: the VM's folder. Undefined where it has just ended. */
export const workingFolder = async ({ pid }: ProcessIdentity): Promise<string | undefined> => {
  try {
    return await readlink(`/proc/${String(pid)}/cwd`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const pollMs = 10;

/**
 * Waits until no process has that name any more: QEMU, and the writer of its logs, which ends when all that QEMU has
 * said is in them.
 * @returns those that are there at the deadline
 */
export const waitNameGone = async (name: string, deadlineMs: number): Promise<NamedProcess[]> => {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const found = await findByName((candidate) => candidate === name);
    if (found.length === 0 || performance.now() > end) return found;
    await delay(pollMs);
  }
};

/** Proof that a process is ours: pid, start time, and our token in its arguments. */
export const isOurs = async (identity: ProcessIdentity, name: string): Promise<boolean> =>
  (await isProcessAlive(identity)) &&
  isNamed(await commandLine(String(identity.pid)), (found) => found === name);
