import { chmod, chown, copyFile, lstat, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  BangerError,
  codeOf,
  deadlineSignal,
  type MachineSpec,
} from '../../core/plugin-api/index.ts';
import { send, type ApiRequest } from './api/client.ts';
import { apiSocket, consoleRequests, metricsRequest, type Paths } from './configure.ts';
import type { StagedFile } from './stage.ts';
import { formatVersion, isAtLeast, type Version } from './version.ts';

/** In a snapshot's folder: the state of devices and CPUs, and the memory. */
const parts = ['state', 'memory'] as const;

/** In the VM's folder: what a snapshot is written to, before it is moved to where it is to be. */
const written = (part: string): string => `snapshot.${part}`;
export const snapshotFiles = parts.map(written);

/** In the VM's folder: names for the snapshot that the guest goes on from. */
const loaded = (part: string): string => `from.${part}`;

/** For `linkFiles`. */
export const snapshotLinks = (folder: string): StagedFile[] =>
  parts.map((part) => ({ name: loaded(part), target: join(folder, part), isWritten: false }));

/** CHANGELOG.md of Firecracker: another tap, and another vsock socket. */
const tapSince: Version = [1, 12, 0];
const vsockSince: Version = [1, 16, 0];

/** How long it may take to write a guest's memory, milliseconds: 32 GiB at 200 MiB a second, and some. */
const snapshotMs = 180_000;

const move = async (from: string, to: string): Promise<void> => {
  try {
    await rename(from, to);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error;
    await copyFile(from, to);
    await rm(from);
  }
};

/**
 * Out of a room, first to where its Firecracker has no hand in it. Who goes on from it may be another user, and only
 * reads it.
 * @throws BangerError VMM_FAILED
 */
const takeOut = async (from: string, to: string): Promise<void> => {
  await rename(from, to);
  if (!(await lstat(to)).isFile())
    throw new BangerError('VMM_FAILED', `Firecracker has made no file of ${from}`);
  await chown(to, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(to, 0o444);
};

/**
 * Firecracker writes where it is at home, and the files are moved from there.
 * @param folder of the VM
 * @param door the folder of its sockets: where that is another one, Firecracker is at home above what it leads to
 */
export const createSnapshot = async (
  { folder, door }: { readonly folder: string; readonly door: string },
  to: string,
  signal: AbortSignal,
): Promise<void> => {
  const socket = join(door, apiSocket);
  const home = door === folder ? folder : dirname(await realpath(door));
  // Of one that was not moved: Firecracker would write into what it is a name for.
  for (const name of snapshotFiles)
    for (const each of new Set([folder, home])) await rm(join(each, name), { force: true });
  const body = {
    snapshot_type: 'Full',
    snapshot_path: written('state'),
    mem_file_path: written('memory'),
  } as const;
  const deadline = deadlineSignal(snapshotMs, signal);
  await send(socket, { method: 'PUT', path: '/snapshot/create', body }, deadline, snapshotMs);
  for (const part of parts) {
    const path = join(folder, written(part));
    if (home !== folder) await takeOut(join(home, written(part)), path);
    await move(path, join(to, part));
  }
};

/**
 * What Firecracker is told instead of a configuration, in order. Logs are not in a snapshot, nor are names of taps that
 * are as they are now.
 * @throws BangerError VMM_FAILED of a version that cannot be told of another tap
 */
export const loadRequests = (
  { nics }: MachineSpec,
  version: Version,
  paths: Paths,
): ApiRequest[] => {
  if (nics.length > 0 && !isAtLeast(version, tapSince)) {
    throw new BangerError(
      'VMM_FAILED',
      `Firecracker ${formatVersion(version)} cannot go on from a snapshot with another tap`,
      { remedy: `Install ${formatVersion(tapSince)} or a later one.` },
    );
  }
  return [
    metricsRequest(paths),
    ...consoleRequests(version, paths),
    {
      method: 'PUT',
      path: '/snapshot/load',
      body: {
        snapshot_path: loaded('state'),
        mem_backend: { backend_type: 'File', backend_path: loaded('memory') },
        resume_vm: false,
        ...(nics.length === 0
          ? {}
          : {
              network_overrides: nics.map(({ id, tap }) => ({ iface_id: id, host_dev_name: tap })),
            }),
        ...(isAtLeast(version, vsockSince) ? { vsock_override: { uds_path: paths.vsock } } : {}),
      },
    },
    { method: 'PATCH', path: '/vm', body: { state: 'Resumed' } },
  ];
};
