import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, deadlineSignal, type MachineSpec } from '../../core/plugin-api/index.ts';
import { send, type ApiRequest } from './api/client.ts';
import { consoleRequests, metricsRequest, vsockSocket } from './configure.ts';
import { formatVersion, isAtLeast, type Version } from './version.ts';

/** In a snapshot's folder: the state of devices and CPUs, and the memory. */
const parts = ['state', 'memory'] as const;

/** In the VM's folder: what a snapshot is written to, before it is moved to where it is to be. */
const written = (part: string): string => `snapshot.${part}`;
export const snapshotFiles = parts.map(written);

/** In the VM's folder: names for the snapshot that the guest goes on from. */
const loaded = (part: string): string => `from.${part}`;

/** For `linkFiles`. */
export const snapshotLinks = (folder: string): { name: string; target: string }[] =>
  parts.map((part) => ({ name: loaded(part), target: join(folder, part) }));

/** CHANGELOG.md of Firecracker: another tap, and another vsock socket. */
const tapSince: Version = [1, 12, 0];
const vsockSince: Version = [1, 16, 0];

/** How long it may take to write a guest's memory, milliseconds: 32 GiB at 200 MiB a second, and some. */
export const snapshotMs = 180_000;

const move = async (from: string, to: string): Promise<void> => {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    await copyFile(from, to);
    await rm(from);
  }
};

/**
 * Firecracker writes where it is at home, and the files are moved from there.
 * @param folder of the VM
 */
export const createSnapshot = async (
  socket: string,
  folder: string,
  to: string,
  signal: AbortSignal,
): Promise<void> => {
  // Of one that was not moved: Firecracker would write into what it is a name for.
  for (const name of snapshotFiles) await rm(join(folder, name), { force: true });
  const body = {
    snapshot_type: 'Full',
    snapshot_path: written('state'),
    mem_file_path: written('memory'),
  } as const;
  const deadline = deadlineSignal(snapshotMs, signal);
  await send(socket, { method: 'PUT', path: '/snapshot/create', body }, deadline, snapshotMs);
  for (const part of parts) await move(join(folder, written(part)), join(to, part));
};

/**
 * What Firecracker is told instead of a configuration, in order. Logs are not in a snapshot, nor are names of taps that
 * are as they are now.
 * @throws BangerError VMM_FAILED of a version that cannot be told of another tap
 */
export const loadRequests = ({ nics }: MachineSpec, version: Version): ApiRequest[] => {
  if (nics.length > 0 && !isAtLeast(version, tapSince)) {
    throw new BangerError(
      'VMM_FAILED',
      `Firecracker ${formatVersion(version)} cannot go on from a snapshot with another tap`,
      { remedy: `Install ${formatVersion(tapSince)} or a later one.` },
    );
  }
  return [
    metricsRequest,
    ...consoleRequests(version),
    {
      method: 'PUT',
      path: '/snapshot/load',
      body: {
        snapshot_path: loaded('state'),
        mem_backend: { backend_type: 'File', backend_path: loaded('memory') },
        resume_vm: true,
        ...(nics.length === 0
          ? {}
          : {
              network_overrides: nics.map(({ id, tap }) => ({ iface_id: id, host_dev_name: tap })),
            }),
        ...(isAtLeast(version, vsockSince) ? { vsock_override: { uds_path: vsockSocket } } : {}),
      },
    },
  ];
};
