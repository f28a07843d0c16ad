import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BangerError,
  isProcessAlive,
  type Claim,
  type Found,
  type Host,
  type ProcessIdentity,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import { findByName, isOurs } from './find-process.ts';
import type { QemuIdentity, QemuObserved } from './identity.ts';

type QemuClaim = Claim<QemuIdentity, QemuObserved>;

/** After SIGKILL a process may still be busy with the disk, milliseconds. */
const killDeadlineMs = 10_000;

/** `banger-<instance>-<token>`: what a VM's process is called. */
export const processName = (instance: string, token: string): string =>
  `banger-${instance}-${token}`;

const statOrUndefined = (path: string): Promise<{ dev: number; ino: number } | undefined> =>
  stat(path).then(
    ({ dev, ino }) => ({ dev, ino }),
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    },
  );

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
  for (const socket of sockets) await rm(socket, { force: true });
};

const cleanupFolder = async (
  path: string,
  observed: QemuObserved | undefined,
  host: Host,
): Promise<void> => {
  const found = await statOrUndefined(path);
  if (found === undefined) return;
  const isSame =
    observed === undefined ||
    ('ino' in observed && found.dev === observed.dev && found.ino === observed.ino);
  if (!isSame || dirname(path) !== host.directory) {
    throw new BangerError('FOREIGN_OBJECT', `${path} is not the folder that was made for this VM`);
  }
  await rm(path, { recursive: true, force: true });
};

export const qemuTeardown: Teardown<QemuIdentity, QemuObserved> = {
  cleanup: (claim, host) =>
    claim.identity.kind === 'process'
      ? cleanupProcess(claim.identity.name, claim.identity.sockets, claim.observed)
      : cleanupFolder(claim.identity.path, claim.observed, host),

  reconcile: async ({ identity, observed }: QemuClaim): Promise<Reconciled> => {
    if (identity.kind === 'process') {
      const isThere =
        observed !== undefined && 'pid' in observed && (await isOurs(observed, identity.name));
      return isThere ? 'healthy' : 'lost';
    }
    return (await statOrUndefined(identity.path)) === undefined ? 'lost' : 'healthy';
  },

  scan: async ({ instance, directory }): Promise<readonly Found<QemuIdentity>[]> => {
    const prefix = processName(instance.token, '');
    const processes = await findByName((name) => name.startsWith(prefix));
    const folders = await readdir(directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    return [
      ...processes.map(({ pid, name }) => ({
        token: name.slice(prefix.length),
        description: `QEMU process ${String(pid)} (${name})`,
        identity: { kind: 'process' as const, name, sockets: [] },
      })),
      ...folders.map((folder) => ({
        token: basename(folder).split('.').at(-1) ?? '',
        description: `folder ${join(directory, folder)}`,
        identity: { kind: 'folder' as const, path: join(directory, folder) },
      })),
    ];
  },
};
