import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import {
  claimVmmUser,
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
import {
  announceSocket,
  apiSocket,
  configuration,
  hasConsole,
  hostFolder,
  vsockSocket,
} from './configure.ts';
import { createHandle } from './handle.ts';
import { jailerObstacle, needsRoot } from './jailer.ts';
import { assertBootable } from './kernel-format.ts';
import type { Limits } from './limits.ts';
import { firecrackerMarks } from './marks.ts';
import { deviceGroups, mapObstacle, reachObstacle, type Obstacle } from './own-user.ts';
import { closeDoor, doorOf, openDoor, quartersFor, type Quarters } from './quarters.ts';
import { loadRequests, snapshotFiles, snapshotLinks } from './snapshot.ts';
import { linkFiles, staged } from './stage.ts';
import { formatVersion, isAtLeast, oldest, versionOf } from './version.ts';

export interface FirecrackerOptions {
  readonly binary: string;
  /** The jailer, where Firecracker is to be started through it. */
  readonly jailer: string | undefined;
  readonly limits: Limits;
  /** The first of the numbers of VMMs' users. */
  readonly uidBase: number;
  /** Whether the daemon may start processes as other users. */
  readonly isRoot: boolean;
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
  jailer,
  limits,
  uidBase,
  isRoot,
  directory,
  exec,
  instance,
}: FirecrackerOptions): VmmDriver<VmmIdentity, VmmObserved> => {
  /** As the last probe found it: each boot follows one. */
  let version = oldest;

  /** What keeps a root daemon from starting it as a user of its own. */
  const userObstacle = async (path: string): Promise<Obstacle | undefined> => {
    if (!isRoot) return jailer === undefined ? undefined : needsRoot;
    const unmapped = await mapObstacle(uidBase);
    if (unmapped !== undefined) return unmapped;
    return jailer === undefined
      ? ((await reachObstacle(path)) ?? (await deviceGroups()).obstacle)
      : jailerObstacle(jailer, { path, version }, directory, exec);
  };

  const probe = async (): Promise<VmmProbe> => {
    if (process.arch !== 'x64')
      return unusable(`not tried on ${process.arch} yet`, 'Use vmm = "qemu".');
    const path = await exec.which(binary);
    if (path === undefined) {
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
    const closed = await userObstacle(path);
    if (closed !== undefined) return unusable(closed.detail, closed.remedy);
    return { usable: true, preference, detail: `version ${formatVersion(found)}` };
  };

  /** @param calls what it is told, the last of which has the guest run */
  const launch = (
    vmId: string,
    folder: string,
    claims: VmmClaims,
    calls: readonly ApiRequest[],
    quarters: Omit<Quarters, 'paths'>,
  ): Promise<VmmHandle> =>
    launchVmm(firecrackerMarks, { exec, instance }, claims, {
      ...quarters,
      vmId,
      folder,
      sockets: [
        ...(quarters.room === undefined ? [apiSocket, vsockSocket, announceSocket] : [hostFolder]),
        ...snapshotFiles,
      ],
      metrics: true,
      connect: async (child, signal, workingFolder) => {
        const door = await openDoor(workingFolder, folder);
        const socket = join(door, apiSocket);
        const [first, ...others] = calls.slice(0, -1);
        if (first !== undefined) await whenThere(() => send(socket, first, signal), signal);
        for (const call of others) await send(socket, call, signal);
        await closeDoor(workingFolder, folder);
        for (const call of calls.slice(-1)) await send(socket, call, signal);
        return createHandle({ folder, door }, child, hasConsole(version), { child });
      },
    });

  const programs = { binary, jailer, exec };

  return {
    id: 'firecracker',
    diskFormats: ['raw'],
    agentChannel: 'vsock',
    probe,

    user: (_, claims: VmmClaims) =>
      isRoot ? claimVmmUser(claims, instance, uidBase) : Promise.resolve(undefined),

    boot: async ({ vm, machine }, claims: VmmClaims) => {
      const stage = staged(machine);
      const { paths, ...quarters } = await quartersFor(machine.vmmUid, stage.files, programs);
      const calls = configuration(stage.machine, version, limits, paths);
      if (machine.kernel !== undefined) await assertBootable(machine.kernel.path);
      const folder = await ensureVmmFolder(directory, vm.id, claims);
      if (quarters.room === undefined) await linkFiles(folder, stage.files);
      return launch(vm.id, folder, claims, [...calls, instanceStart], quarters);
    },

    restore: async ({ vm, machine }, snapshot, claims) => {
      const files = [...staged(machine).files, ...snapshotLinks(snapshot)];
      const { paths, ...quarters } = await quartersFor(machine.vmmUid, files, programs);
      const calls = loadRequests(machine, version, paths);
      const folder = await ensureVmmFolder(directory, vm.id, claims);
      if (quarters.room === undefined) await linkFiles(folder, files);
      return launch(vm.id, folder, claims, calls, quarters);
    },

    attach: async ({ vm }, claims) => {
      const running = await findVmm(firecrackerMarks, instance, vm.id, claims);
      if (running === undefined) return undefined;
      const { folder, process } = running;
      await probe();
      const door = await doorOf(folder);
      return createHandle({ folder, door }, process, hasConsole(version), process);
    },
  };
};
