import { lstat, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { deadlineSignal } from '../../deadline.ts';
import { BangerError } from '../../errors.ts';
import type { DetachedProcess, Executor } from '../../host/executor.ts';
import type { Instance } from '../../host/host.ts';
import { newToken } from '../../token.ts';
import { cgroupName, cgroupParent, makeCgroup } from './cgroup.ts';
import { findByName, waitNameGone, writerMs, type VmmMarks } from './find.ts';
import type { VmmClaims, VmmIdentity } from './identity.ts';
import { boundedOutput, vmmLogs } from './logs.ts';
import { processName, roomName } from './names.ts';
import { makeRoom, type Room } from './room.ts';

/** How long a VMM may take to open its control socket, milliseconds. */
export const controlDeadlineMs = 10_000;
const logTailLines = 5;

/** How long it may take to end once it has closed its control socket, milliseconds. */
const endingMs = 2_000;

/** Of what this run has said: the file goes on from run to run. */
const tail = async (path: string, from: number): Promise<string> => {
  const text = (await readFile(path)).subarray(from).toString('utf8');
  return text.trim().split('\n').slice(-logTailLines).join('; ');
};

/** Where this run's part of the log will begin. */
const logEnd = async (path: string): Promise<number> => {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
};

export interface Launch<T> {
  readonly vmId: string;
  readonly binary: string;
  /** Where its logs are, and it works, unless it has a room. */
  readonly folder: string;
  readonly room?: Room;
  /** Names of the sockets in the folder, and of what else goes with the process, that it makes and does not remove. */
  readonly sockets: readonly string[];
  /** Whether it writes metrics: in a room to the FIFO `metrics`, as its console to `console`; else to descriptor 4. */
  readonly metrics?: boolean;
  /** @param runFolder where a room would be */
  argsOf(name: string, runFolder: string): readonly string[];
  /** How long `connect` may take, milliseconds. */
  readonly deadlineMs?: number;
  /**
   * Connects to its control socket, and does what has to be done until the guest runs.
   * @param signal aborted at the deadline, when the start is cancelled, and when the process has ended
   * @param workingFolder the VMM's: the room, or the VM's folder
   */
  connect(child: DetachedProcess, signal: AbortSignal, workingFolder: string): Promise<T>;
}

/**
 * Sockets that a VMM of this VM has left, where no claim knows them any more: of a process that was killed after an older
 * database was restored. The folder is the VM's own; while one runs they are its, and there is no second.
 */
const removeStaleSockets = async (
  marks: VmmMarks,
  instance: Instance,
  vmId: string,
  sockets: readonly string[],
): Promise<void> => {
  const there = await Promise.all(
    sockets.map((path) =>
      lstat(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  if (!there.includes(true)) return;
  const prefix = processName(instance.token, '');
  const named = await findByName(marks, (name) => name.startsWith(prefix));
  const running = named.find((each) => each.vmId === vmId && !each.isWriter);
  if (running !== undefined) {
    throw new BangerError(
      'VMM_FAILED',
      `a ${marks.title} of this VM runs already, pid ${String(running.pid)}, and no record knows it`,
      { remedy: 'See `banger doctor --leaks`; --fix ends what no VM on record has.' },
    );
  }
  for (const path of sockets) await rm(path, { force: true });
};

/**
 * Starts a VMM as a claim of the run. Races "it does as it is told" against "it has ended", whose reason its log tells.
 * @throws BangerError VMM_FAILED
 */
export const launchVmm = async <T>(
  marks: VmmMarks,
  { exec, instance }: { readonly exec: Executor; readonly instance: Instance },
  claims: VmmClaims,
  launch: Launch<T>,
): Promise<T> => {
  const { vmId, binary, folder, room, sockets, metrics = false, argsOf, connect } = launch;
  const { deadlineMs = controlDeadlineMs } = launch;
  const token = newToken(8);
  const suffix = marks.suffixOf?.(vmId);
  const base = processName(instance.token, token);
  const name = suffix === undefined ? base : `${base}-${suffix}`;
  const parent = await cgroupParent(instance);
  const cgroup = parent === undefined ? undefined : join(parent, cgroupName(marks.id, token));
  const runFolder = join(folder, roomName(token));
  const identity: VmmIdentity = {
    kind: 'process',
    name,
    sockets: sockets.map((socket) => join(folder, socket)),
    ...(cgroup === undefined ? {} : { cgroup }),
    ...(room === undefined ? {} : { room: runFolder }),
  };
  return claims.acquire(
    { key: `process:${vmId}`, scope: 'run', token, identity },
    async (signal) => {
      await removeStaleSockets(marks, instance, vmId, identity.sockets);
      const logPath = vmmLogs(folder).vmm;
      const from = await logEnd(logPath);
      const isOwn = cgroup !== undefined && (await makeCgroup(cgroup));
      const made = room === undefined ? undefined : await makeRoom(runFolder, room, name);
      const through = boundedOutput(isOwn ? cgroup : undefined, metrics, made);
      const child = await exec.detach(binary, argsOf(name, runFolder), {
        cwd: folder,
        logPath,
        through,
      });
      const ended = new AbortController();
      const failed = child.exited.then(async ({ code, signal: by }): Promise<never> => {
        ended.abort();
        const how = by === null ? `exit code ${String(code)}` : by;
        // It is on its way through a pipe.
        await waitNameGone(marks, name, writerMs);
        const said = await tail(logPath, from);
        throw new BangerError('VMM_FAILED', `${marks.title} ended at once (${how}): ${said}`, {
          logPath,
        });
      });
      const either = AbortSignal.any([deadlineSignal(deadlineMs, signal), ended.signal]);
      const connecting = connect(child, either, made?.path ?? folder).catch(
        async (error: unknown) => {
          // Sockets are opened before all else is read: a closed one is followed by the process's end.
          await Promise.race([failed, delay(signal.aborted ? 0 : endingMs)]);
          throw error;
        },
      );
      return {
        value: await Promise.race([connecting, failed]),
        observed: { pid: child.pid, startTicks: child.startTicks },
      };
    },
  );
};
