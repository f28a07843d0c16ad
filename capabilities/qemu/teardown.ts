import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BangerError,
  isProcessAlive,
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type Claim,
  type Found,
  type PathObserved,
  type ProcessIdentity,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import { findByName, isOurs, waitNameGone } from './find-process.ts';
import type { QemuIdentity, QemuObserved } from './identity.ts';

type QemuClaim = Claim<QemuIdentity, QemuObserved>;

/** After SIGKILL a process may still be busy with the disk, milliseconds. */
const killDeadlineMs = 10_000;

/** How long what QEMU has said last may take to reach its log, milliseconds. */
export const writerMs = 2_000;

export const folderName = (token: string): string => `vm-${token}`;

/** `banger-<instance>-<token>`: what a VM's process is called. */
export const processName = (instance: string, token: string): string =>
  `banger-${instance}-${token}`;

const kill = async (identity: ProcessIdentity): Promise<void> => {
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  const end = performance.now() + killDeadlineMs;
  while (await isProcessAlive(identity)) {
    if (performance.now() > end) {
      throw new BangerError(
        'VMM_FAILED',
        `QEMU ${String(identity.pid)} does not end, even by SIGKILL`,
      );
    }
    await delay(2);
  }
};

const cleanupProcess = async (
  name: string,
  sockets: readonly string[],
  observed: QemuObserved | undefined,
): Promise<void> => {
  // While `intent`, nothing was observed: the token in the arguments is the proof.
  if (observed !== undefined && 'pid' in observed) {
    if (await isOurs(observed, name)) await kill(observed);
  } else {
    for (const found of await findByName((candidate) => candidate === name)) await kill(found);
  }
  // The writer of its logs has the same arguments; it ends by itself, with the last word in them.
  for (const found of await waitNameGone(name, writerMs)) await kill(found);
  for (const socket of sockets) await rm(socket, { force: true });
};

const pathOf = (observed: QemuObserved | undefined): PathObserved | undefined =>
  observed !== undefined && 'ino' in observed ? observed : undefined;

export const qemuTeardown: Teardown<QemuIdentity, QemuObserved> = {
  cleanup: (claim, host) =>
    claim.identity.kind === 'process'
      ? cleanupProcess(claim.identity.name, claim.identity.sockets, claim.observed)
      : removeOwnedPath(claim.identity.path, { ...claim, observed: pathOf(claim.observed) }, host),

  reconcile: async ({ identity, observed }: QemuClaim): Promise<Reconciled> => {
    if (identity.kind === 'process') {
      const isThere =
        observed !== undefined && 'pid' in observed && (await isOurs(observed, identity.name));
      return isThere ? 'healthy' : 'lost';
    }
    return reconcilePath(identity.path, pathOf(observed));
  },

  scan: async (host): Promise<readonly Found<QemuIdentity>[]> => {
    const prefix = processName(host.instance.token, '');
    const processes = await findByName((name) => name.startsWith(prefix));
    return [
      ...processes.map(({ pid, name, vmId }) => ({
        token: name.slice(prefix.length),
        description: `QEMU process ${String(pid)} (${name})`,
        identity: { kind: 'process' as const, name, sockets: [] },
        ...(vmId === undefined ? {} : { vmId }),
      })),
      ...(await scanOwnedPaths(host, /^vm-([a-z2-7]+)$/, (path) => ({
        kind: 'folder' as const,
        path,
      }))),
    ];
  },
};
