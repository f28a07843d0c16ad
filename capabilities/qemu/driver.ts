import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BangerError,
  deadlineSignal,
  newToken,
  observePath,
  type Claims,
  type DetachedProcess,
  type Executor,
  type Instance,
  type ProcessIdentity,
  type StartOperation,
  type VmmDriver,
  type VmmHandle,
} from '../../core/plugin-api/index.ts';
import { chooseAcceleration } from './acceleration.ts';
import { agentPorts, agentSocket, qemuArgs, qmpSocket } from './args.ts';
import { findByName, isOurs, waitNameGone, workingFolder } from './find-process.ts';
import { createHandle } from './handle.ts';
import type { QemuIdentity, QemuObserved } from './identity.ts';
import { boundedOutput, logsOf } from './logs.ts';
import { Qmp } from './qmp.ts';
import { folderName, processName, writerMs } from './teardown.ts';

export interface QemuDriverOptions {
  readonly binary: string;
  readonly acceleration: 'auto' | 'kvm' | 'tcg';
  readonly directory: string;
  readonly exec: Executor;
  readonly instance: Instance;
  tscKhz(): Promise<number | undefined>;
}

type QemuClaims = Claims<QemuIdentity, QemuObserved>;

/** How long QEMU may take to open its control socket, milliseconds. */
const startDeadlineMs = 10_000;
const logTailLines = 5;

/** How long QEMU may take to end once it has closed its control socket, milliseconds. */
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

/**
 * The VM's folder outlives its runs: `vm logs` tells of the last one. Its name is short, because a
 * socket's path has at most 107 bytes.
 */
const ensureFolder = async (
  directory: string,
  vmId: string,
  claims: QemuClaims,
): Promise<string> => {
  const token = newToken(8);
  const path = join(directory, folderName(token));
  const { identity } = await claims.ensure(
    { key: `folder:${vmId}`, scope: 'vm', token, identity: { kind: 'folder', path } },
    async () => {
      await mkdir(path, { mode: 0o700 });
      return { value: undefined, observed: await observePath(path) };
    },
  );
  return identity.kind === 'folder' ? identity.path : path;
};

/** Races "the control socket answers" against "QEMU has ended", whose reason its log tells. */
const connectQmp = async (
  folder: string,
  child: DetachedProcess,
  name: string,
  log: { readonly path: string; readonly from: number },
  signal: AbortSignal,
): Promise<Qmp> => {
  const deadline = deadlineSignal(startDeadlineMs, signal);
  const ended = new AbortController();
  const failed = child.exited.then(async ({ code, signal: by }): Promise<never> => {
    ended.abort();
    const how = by === null ? `exit code ${String(code)}` : by;
    // It is on its way through a pipe.
    await waitNameGone(name, writerMs);
    const said = await tail(log.path, log.from);
    throw new BangerError('VMM_FAILED', `QEMU ended at once (${how}): ${said}`, {
      logPath: log.path,
    });
  });
  const connecting = Qmp.connect(
    join(folder, qmpSocket),
    AbortSignal.any([deadline, ended.signal]),
  ).catch(async (error: unknown) => {
    // QEMU opens its sockets before it reads the kernel: a closed one is followed by its end.
    await Promise.race([failed, delay(signal.aborted ? 0 : endingMs)]);
    throw error;
  });
  return Promise.race([connecting, failed]);
};

const claimedProcess = async (claims: QemuClaims): Promise<ProcessIdentity | undefined> => {
  for (const { identity, observed } of claims.list({ scope: 'run' })) {
    if (identity.kind !== 'process' || observed === undefined || !('pid' in observed)) continue;
    if (await isOurs(observed, identity.name)) return observed;
  }
  return undefined;
};

/** Where the claim cannot be read: the process itself says that it is ours, and whose. */
const processOf = async (
  vmId: string,
  instance: Instance,
): Promise<ProcessIdentity | undefined> => {
  const named = await findByName((name) => name.startsWith(processName(instance.token, '')));
  return named.find((each) => each.vmId === vmId && !each.isWriter);
};

export const createQemuDriver = (
  options: QemuDriverOptions,
): VmmDriver<QemuIdentity, QemuObserved> => {
  const { directory, exec, instance, binary } = options;

  const boot = async (operation: StartOperation, claims: QemuClaims): Promise<VmmHandle> => {
    const { vm, machine } = operation;
    if (machine.kernel === undefined)
      throw new BangerError('KERNEL_UNKNOWN', 'no capability has named a kernel for this VM');
    const acceleration = await chooseAcceleration(options.acceleration);
    if (acceleration.kind === 'tcg')
      operation.notice(`no KVM: ${acceleration.why}; QEMU emulates the CPU (TCG), which is slower`);
    const tscKhz = acceleration.kind === 'tcg' ? await options.tscKhz() : undefined;
    const folder = await ensureFolder(directory, vm.id, claims);
    const token = newToken(8);
    const name = processName(instance.token, token);
    const sockets = [
      qmpSocket,
      ...Array.from({ length: agentPorts }, (_, port) => agentSocket(port)),
    ].map((socket) => join(folder, socket));
    const through = boundedOutput();
    const args = qemuArgs(name, vm.id, machine, machine.kernel.path, acceleration, tscKhz);
    return claims.acquire(
      {
        key: `process:${vm.id}`,
        scope: 'run',
        token,
        identity: { kind: 'process', name, sockets },
      },
      async (signal) => {
        const logPath = logsOf(folder).vmm;
        const log = { path: logPath, from: await logEnd(logPath) };
        const child = await exec.detach(binary, args, { cwd: folder, logPath, through });
        const qmp = await connectQmp(folder, child, name, log, signal);
        return {
          value: createHandle(folder, qmp, child, child),
          observed: { pid: child.pid, startTicks: child.startTicks },
        };
      },
    );
  };

  return {
    id: 'qemu',
    diskFormats: ['qcow2', 'raw'],
    probe: async () => {
      if (process.arch !== 'x64')
        return { usable: false, preference: 0, detail: `no microvm machine for ${process.arch}` };
      if ((await exec.which(binary)) === undefined) {
        return {
          usable: false,
          preference: 0,
          detail: `${binary} is not installed (package qemu-system-x86)`,
          remedy: 'Install it: sudo apt-get install qemu-system-x86',
        };
      }
      const acceleration = await chooseAcceleration(options.acceleration);
      return {
        usable: true,
        preference: 10,
        detail: acceleration.kind === 'kvm' ? 'KVM' : `TCG: ${acceleration.why}`,
      };
    },
    boot,
    attach: async ({ vm }, claims) => {
      const process = (await claimedProcess(claims)) ?? (await processOf(vm.id, instance));
      if (process === undefined) return undefined;
      const folder = await workingFolder(process);
      if (folder === undefined) return undefined;
      const deadline = deadlineSignal(startDeadlineMs);
      const qmp = await Qmp.connect(join(folder, qmpSocket), deadline);
      return createHandle(folder, qmp, process);
    },
  };
};
