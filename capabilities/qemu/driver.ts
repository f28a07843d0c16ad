import { join } from 'node:path';
import {
  BangerError,
  controlDeadlineMs,
  deadlineSignal,
  ensureVmmFolder,
  findVmm,
  kvmCheck,
  launchVmm,
  type Executor,
  type Instance,
  type StartOperation,
  type VmmDriver,
  type VmmHandle,
  type VmmClaims,
  type VmmIdentity,
  type VmmObserved,
} from '../../core/plugin-api/index.ts';
import { chooseAcceleration, type Acceleration } from './acceleration.ts';
import { agentPorts, agentSocket, qemuArgs, qmpSocket } from './args.ts';
import { createHandle } from './handle.ts';
import { loadState, migrationMs, migrationSocket } from './migration.ts';
import { qemuMarks } from './marks.ts';
import { Qmp } from './qmp.ts';

export interface QemuDriverOptions {
  readonly binary: string;
  readonly acceleration: 'auto' | 'kvm' | 'tcg';
  readonly directory: string;
  readonly exec: Executor;
  readonly instance: Instance;
  tscKhz(): Promise<number | undefined>;
}

export const createQemuDriver = (
  options: QemuDriverOptions,
): VmmDriver<VmmIdentity, VmmObserved> => {
  const { directory, exec, instance, binary } = options;
  const kvm = kvmCheck(exec);
  /** As the last probe found it: each boot follows one. */
  let probed: Acceleration = { kind: 'tcg', why: 'it has not been looked for' };

  /** @param snapshot what the guest goes on from, instead of booting */
  const launch = async (
    operation: StartOperation,
    claims: VmmClaims,
    snapshot?: string,
  ): Promise<VmmHandle> => {
    const { vm, machine } = operation;
    const acceleration = probed;
    const kernelPath = snapshot === undefined ? machine.kernel?.path : undefined;
    if (snapshot === undefined && kernelPath === undefined)
      throw new BangerError('KERNEL_UNKNOWN', 'no capability has named a kernel for this VM');
    if (acceleration.kind === 'tcg')
      operation.notice(`no KVM: ${acceleration.why}; QEMU emulates the CPU (TCG), which is slower`);
    const tscKhz = acceleration.kind === 'tcg' ? await options.tscKhz() : undefined;
    const folder = await ensureVmmFolder(directory, vm.id, claims);
    return launchVmm(qemuMarks, { exec, instance }, claims, {
      vmId: vm.id,
      binary,
      folder,
      sockets: [
        qmpSocket,
        migrationSocket,
        ...Array.from({ length: agentPorts }, (_, port) => agentSocket(port)),
      ],
      argsOf: (name) => qemuArgs(name, vm.id, machine, kernelPath, acceleration, tscKhz),
      deadlineMs: snapshot === undefined ? controlDeadlineMs : migrationMs,
      connect: async (child, signal) => {
        const qmp = await Qmp.connect(join(folder, qmpSocket), signal);
        if (snapshot !== undefined) await loadState(qmp, folder, snapshot, signal);
        return createHandle(folder, qmp, child, child);
      },
    });
  };

  return {
    id: 'qemu',
    diskFormats: ['qcow2', 'raw'],
    agentChannel: 'ports',
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
      const acceleration = await chooseAcceleration(options.acceleration, kvm);
      probed = acceleration;
      const usable = { usable: true, preference: 10 };
      if (acceleration.kind === 'kvm') return { ...usable, detail: 'KVM' };
      const { why, remedy } = acceleration;
      const detail = `TCG: ${why}`;
      return remedy === undefined ? { ...usable, detail } : { ...usable, detail, remedy };
    },
    boot: (operation, claims) => launch(operation, claims),
    restore: (operation, snapshot, claims) => launch(operation, claims, snapshot),
    attach: async ({ vm }, claims) => {
      const found = await findVmm(qemuMarks, instance, vm.id, claims);
      if (found === undefined) return undefined;
      const { folder, process } = found;
      const qmp = await Qmp.connect(join(folder, qmpSocket), deadlineSignal(controlDeadlineMs));
      return createHandle(folder, qmp, process);
    },
  };
};
