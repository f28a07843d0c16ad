import {
  readPanic,
  vmmLogs,
  waitGone,
  z,
  type DetachedProcess,
  type ProcessIdentity,
  type VmmExit,
  type VmmHandle,
} from '../../core/plugin-api/index.ts';
import { join } from 'node:path';
import { agentPorts, agentSocket } from './args.ts';
import { saveState } from './migration.ts';
import type { Qmp } from './qmp.ts';

/** How long QEMU may take to write back and end after `quit`, milliseconds. */
const quitMs = 3_000;
/** How often it is looked at whether it is gone, should the control socket close before, milliseconds. */
const goneMs = 30_000;

/** Of query-status; qapi/run-state.json has the rest. */
const status = z.object({ status: z.string() });
/** Where its CPUs stand still: after `stop`, and after a snapshot of it. */
const standing = new Set(['paused', 'postmigrate']);

/** What the guest's own end looks like: with -no-reboot a reset ends QEMU, and lean guests end by one. */
const cleanReasons: Readonly<Record<string, string>> = {
  'guest-reset': 'the guest has rebooted, and a reboot ends a VM',
  'guest-shutdown': 'the guest has powered itself off',
};

const describeExit = async (
  qmp: Qmp,
  process: ProcessIdentity,
  child: DetachedProcess | undefined,
  panic: () => Promise<string | undefined>,
): Promise<VmmExit> => {
  await qmp.closed;
  // Not before the process is gone, for the caller then takes its taps and disks away.
  while (!(await waitGone(process, goneMs)));
  const reason = qmp.shutdownReason;
  const detail = reason === undefined ? undefined : cleanReasons[reason];
  if (detail !== undefined) return { detail, clean: true, panic };
  if (child !== undefined) {
    const { code, signal } = await child.exited;
    const how = signal === null ? `exit code ${String(code)}` : `by ${signal}`;
    return { detail: `QEMU ended (${how})`, clean: false };
  }
  return { detail: `QEMU ended (${reason ?? 'for an unknown reason'})`, clean: false };
};

/** @param child where this daemon is its parent, and so learns its exit code */
export const createHandle = (
  folder: string,
  qmp: Qmp,
  process: ProcessIdentity,
  child?: DetachedProcess,
): VmmHandle => {
  const logs = vmmLogs(folder);
  const exited = describeExit(qmp, process, child, () => readPanic(logs.console));
  return {
    process: { pid: process.pid, startTicks: process.startTicks },
    agent: {
      kind: 'ports',
      paths: Array.from({ length: agentPorts }, (_, port) => join(folder, agentSocket(port))),
    },
    logs,
    exited,
    pause: async () => {
      await qmp.execute('stop');
    },
    resume: async () => {
      await qmp.execute('cont');
    },
    isPaused: async () => standing.has(status.parse(await qmp.execute('query-status')).status),
    snapshot: (to, signal) => saveState(qmp, folder, to, signal),
    growDrive: async (drive, bytes) => {
      await qmp.execute('block_resize', { device: drive, size: bytes });
    },
    shutdown: async (signal) => {
      if (!(await waitGone(process, 0))) {
        // QEMU flushes its disks before it goes; the answer may not come any more.
        await qmp.execute('quit').catch(() => undefined);
        await waitGone(process, quitMs, signal);
      }
    },
  };
};
