import type { GuestStats, VmStats } from '../../core/plugin-api/index.ts';
import type { HostFigures } from './host-figures.ts';

/** One look at a VM, from inside and outside. */
export interface Sample {
  /** Date.now(). */
  readonly at: number;
  /** Milliseconds of a steady clock. */
  readonly clockMs: number;
  readonly guest: GuestStats;
  readonly host: HostFigures | undefined;
}

const percent = (part: number, whole: number): number | null =>
  whole <= 0 || part < 0 ? null : Math.round(Math.min(part / whole, 1) * 1000) / 10;

/**
 * How many of its CPUs a guest has kept busy between two looks, or undefined where that cannot be told: there was none
 * before, or the guest has started anew meanwhile and counts from zero.
 */
export const busyCpus = (before: Sample | undefined, now: Sample): number | undefined => {
  if (before === undefined || now.guest.uptimeMs < before.guest.uptimeMs) return undefined;
  const busy = now.guest.cpu.busyMs - before.guest.cpu.busyMs;
  const total = now.guest.cpu.totalMs - before.guest.cpu.totalMs;
  if (busy < 0 || total <= 0) return undefined;
  return Math.min(busy / total, 1) * now.guest.cpu.count;
};

const hostCpuPercent = (before: Sample | undefined, now: Sample): number | null => {
  if (before?.host === undefined || now.host === undefined) return null;
  const spent = now.host.cpuMs - before.host.cpuMs;
  const elapsed = now.clockMs - before.clockMs;
  // More than one CPU may be busy with it.
  return spent < 0 || elapsed <= 0 ? null : Math.round((spent / elapsed) * 1000) / 10;
};

/** Two looks as the figures that people and scripts are shown. */
export const figuresOf = (before: Sample | undefined, now: Sample): VmStats => {
  const { guest, host } = now;
  const busy = busyCpus(before, now);
  return {
    at: new Date(now.at).toISOString(),
    uptimeSeconds: Math.floor(guest.uptimeMs / 1000),
    vcpus: guest.cpu.count,
    cpuPercent: busy === undefined ? null : percent(busy, guest.cpu.count),
    load: [...guest.load],
    memoryTotalBytes: guest.memory.totalBytes,
    memoryUsedBytes: Math.max(0, guest.memory.totalBytes - guest.memory.availableBytes),
    swapUsedBytes: Math.max(0, guest.memory.swapTotalBytes - guest.memory.swapFreeBytes),
    processes: guest.processes,
    connections: guest.connections,
    filesystems: guest.filesystems.map((each) => ({ ...each })),
    host:
      host === undefined
        ? null
        : { memoryBytes: host.memoryBytes, cpuPercent: hostCpuPercent(before, now) },
  };
};

/** Of one CPU: a guest that idles stays far below, also where it is emulated and slow. */
const workingCpus = 0.1;

/** Whether somebody is with the guest, or it works: docs/idle.md. */
export const isUsed = (before: Sample | undefined, now: Sample): boolean =>
  now.guest.connections > 0 || (busyCpus(before, now) ?? 0) >= workingCpus;
