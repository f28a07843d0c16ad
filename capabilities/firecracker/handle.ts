import { join } from 'node:path';
import {
  deadlineSignal,
  growFile,
  readPanic,
  vmmLogs,
  vmmMetrics,
  waitGone,
  type ProcessIdentity,
  type VmmHandle,
} from '../../core/plugin-api/index.ts';
import { instanceState, send } from './api/client.ts';
import { announceSocket, apiSocket, vsockSocket } from './configure.ts';
import { exitOf, type ExitSource } from './exit.ts';
import { createSnapshot } from './snapshot.ts';
import { stagedDrive } from './stage.ts';

/** How long a guest may take to come to its end after Ctrl-Alt-Del, milliseconds. */
const shutdownMs = 3_000;
const answerMs = 10_000;

/**
 * @param hasConsole false where the console is in the VMM's own log
 */
export const createHandle = (
  places: { readonly folder: string; readonly door: string },
  process: ProcessIdentity,
  hasConsole: boolean,
  source: ExitSource,
): VmmHandle => {
  const { folder, door } = places;
  const socket = join(door, apiSocket);
  const logs = vmmLogs(folder);
  // In the VMM's own log there may be one of an earlier run.
  const panic = async (): Promise<string | undefined> =>
    hasConsole ? readPanic(logs.console) : undefined;
  const setState = (state: 'Paused' | 'Resumed'): Promise<void> =>
    send(socket, { method: 'PATCH', path: '/vm', body: { state } }, deadlineSignal(answerMs));
  return {
    process: { pid: process.pid, startTicks: process.startTicks },
    agent: {
      kind: 'vsock',
      path: join(door, vsockSocket),
      announce: join(door, announceSocket),
    },
    logs: {
      console: hasConsole ? logs.console : logs.vmm,
      vmm: logs.vmm,
      metrics: vmmMetrics(folder),
    },
    exited: exitOf(socket, logs.vmm, process, source, panic),
    pause: () => setState('Paused'),
    resume: () => setState('Resumed'),
    isPaused: async () => (await instanceState(socket, deadlineSignal(answerMs))) === 'Paused',
    snapshot: (to, signal) => createSnapshot(places, to, signal),
    growDrive: async (drive, bytes, path) => {
      await growFile(path, bytes);
      // Told its path again, Firecracker looks at the size anew and tells the guest.
      const body = { drive_id: drive, path_on_host: stagedDrive(drive) };
      await send(
        socket,
        { method: 'PATCH', path: `/drives/${drive}`, body },
        deadlineSignal(answerMs),
      );
    },
    shutdown: async (signal) => {
      if (await waitGone(process, 0)) return;
      const deadline = deadlineSignal(shutdownMs, signal);
      // The guest may end before the answer comes; one without a keyboard does not hear of it.
      await send(
        socket,
        { method: 'PUT', path: '/actions', body: { action_type: 'SendCtrlAltDel' } },
        deadline,
      ).catch(() => undefined);
      await waitGone(process, shutdownMs, signal);
    },
  };
};
