import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import {
  ensureVmmFolder,
  findVmm,
  kvmCheck,
  kvmObstacle,
  launchVmm,
  type Executor,
  type Instance,
  type VmmDriver,
  type VmmHandle,
  type VmmClaims,
  type VmmIdentity,
  type VmmObserved,
  type VmmProbe,
} from '../../core/plugin-api/index.ts';
import { isNobody, send, type ApiRequest } from './api/client.ts';
import { announceSocket, apiSocket, configuration, hasConsole, vsockSocket } from './configure.ts';
import { createHandle } from './handle.ts';
import { assertBootable } from './kernel-format.ts';
import type { Limits } from './limits.ts';
import { firecrackerMarks } from './marks.ts';
import { loadRequests, snapshotFiles, snapshotLinks } from './snapshot.ts';
import { linkFiles, staged } from './stage.ts';
import { formatVersion, isAtLeast, oldest, versionOf } from './version.ts';

export interface FirecrackerOptions {
  readonly binary: string;
  readonly limits: Limits;
  readonly directory: string;
  readonly exec: Executor;
  readonly instance: Instance;
}

/** Before QEMU, which says 10. */
const preference = 20;
const retryMs = 4;

const instanceStart: ApiRequest = {
  method: 'PUT',
  path: '/actions',
  body: { action_type: 'InstanceStart' },
};

const unusable = (detail: string, remedy: string): VmmProbe => ({
  usable: false,
  preference,
  detail,
  remedy,
});

/** Repeats what cannot reach the socket yet: it is there some milliseconds after the process. */
const whenThere = async (attempt: () => Promise<void>, signal: AbortSignal): Promise<void> => {
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (signal.aborted || !isNobody(error)) throw error;
    }
    await delay(retryMs);
  }
};

export const createFirecrackerDriver = ({
  binary,
  limits,
  directory,
  exec,
  instance,
}: FirecrackerOptions): VmmDriver<VmmIdentity, VmmObserved> => {
  /** As the last probe found it: each boot follows one. */
  let version = oldest;

  const probe = async (): Promise<VmmProbe> => {
    if (process.arch !== 'x64')
      return unusable(`not tried on ${process.arch} yet`, 'Use vmm = "qemu".');
    if ((await exec.which(binary)) === undefined) {
      return unusable(
        `${binary} is not installed`,
        'Put the binary of a release on PATH (https://github.com/firecracker-microvm/firecracker/releases), or set firecracker.binary.',
      );
    }
    const found = await versionOf(binary, exec);
    if (found === undefined)
      return unusable(`${binary} is no Firecracker`, 'Set firecracker.binary to one.');
    if (!isAtLeast(found, oldest)) {
      return unusable(
        `version ${formatVersion(found)} is too old`,
        `Install ${formatVersion(oldest)} or a later one.`,
      );
    }
    version = found;
    const obstacle = await kvmObstacle(kvmCheck(exec));
    if (obstacle !== undefined) return unusable(`no KVM: ${obstacle.detail}`, obstacle.remedy);
    return { usable: true, preference, detail: `version ${formatVersion(found)}` };
  };

  /** @param calls what it is told, the last of which has the guest run */
  const launch = (
    vmId: string,
    folder: string,
    claims: VmmClaims,
    calls: readonly ApiRequest[],
  ): Promise<VmmHandle> => {
    const socket = join(folder, apiSocket);
    return launchVmm(firecrackerMarks, { exec, instance }, claims, {
      vmId,
      binary,
      folder,
      sockets: [apiSocket, vsockSocket, announceSocket, ...snapshotFiles],
      metrics: true,
      argsOf: (name) => ['--id', name, '--api-sock', apiSocket],
      connect: async (child, signal) => {
        const [first, ...others] = calls;
        if (first !== undefined) await whenThere(() => send(socket, first, signal), signal);
        for (const call of others) await send(socket, call, signal);
        return createHandle(folder, child, hasConsole(version), { child });
      },
    });
  };

  return {
    id: 'firecracker',
    diskFormats: ['raw'],
    agentChannel: 'vsock',
    probe,

    boot: async ({ vm, machine }, claims: VmmClaims) => {
      const stage = staged(machine);
      const calls = configuration(stage.machine, version, limits);
      if (machine.kernel !== undefined) await assertBootable(machine.kernel.path);
      const folder = await ensureVmmFolder(directory, vm.id, claims);
      await linkFiles(folder, stage.files);
      return launch(vm.id, folder, claims, [...calls, instanceStart]);
    },

    restore: async ({ vm, machine }, snapshot, claims) => {
      const calls = loadRequests(machine, version);
      const folder = await ensureVmmFolder(directory, vm.id, claims);
      await linkFiles(folder, [...staged(machine).files, ...snapshotLinks(snapshot)]);
      return launch(vm.id, folder, claims, calls);
    },

    attach: async ({ vm }, claims) => {
      const running = await findVmm(firecrackerMarks, instance, vm.id, claims);
      if (running === undefined) return undefined;
      const { folder, process } = running;
      await probe();
      return createHandle(folder, process, hasConsole(version), process);
    },
  };
};
