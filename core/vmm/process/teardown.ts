import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Teardown } from '../../capability.ts';
import type { Claim, Found, Reconciled } from '../../claim.ts';
import { BangerError } from '../../errors.ts';
import type { ProcessIdentity } from '../../host/executor.ts';
import type { Host } from '../../host/host.ts';
import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
} from '../../host/owned-path.ts';
import { isProcessAlive } from '../../host/process-identity.ts';
import { cgroupParent, listCgroups, removeCgroup } from './cgroup.ts';
import { findByName, isOurs, waitNameGone, writerMs, type VmmMarks } from './find.ts';
import type { VmmIdentity, VmmObserved } from './identity.ts';
import { processName } from './names.ts';
import { listRooms, removeRoom } from './room.ts';

type VmmClaim = Claim<VmmIdentity, VmmObserved>;

/** After SIGKILL a process may still be busy with the disk, milliseconds. */
const killDeadlineMs = 10_000;

const kill = async (title: string, identity: ProcessIdentity): Promise<void> => {
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
        `${title} ${String(identity.pid)} does not end, even by SIGKILL`,
      );
    }
    await delay(2);
  }
};

type ProcessClaimed = Extract<VmmIdentity, { readonly kind: 'process' }>;

const cleanupProcess = async (
  marks: VmmMarks,
  { name, sockets, cgroup, room }: ProcessClaimed,
  { observed, token }: VmmClaim,
  host: Host,
): Promise<void> => {
  const { title } = marks;
  // While `intent`, nothing was observed: the token in the arguments is the proof.
  if (observed !== undefined && 'pid' in observed) {
    if (await isOurs(marks, observed, name)) await kill(title, observed);
  } else {
    for (const found of await findByName(marks, (candidate) => candidate === name))
      await kill(title, found);
  }
  // The writer of its logs has the same arguments; it ends by itself, with the last word in them.
  for (const found of await waitNameGone(marks, name, writerMs)) await kill(title, found);
  for (const socket of sockets) await rm(socket, { force: true });
  if (room !== undefined) await removeRoom(room, token, host);
  if (cgroup !== undefined) await removeCgroup(cgroup);
};

const pathOf = (observed: VmmObserved | undefined): PathObserved | undefined =>
  observed !== undefined && 'ino' in observed ? observed : undefined;

export const vmmTeardown = (marks: VmmMarks): Teardown<VmmIdentity, VmmObserved> => ({
  cleanup: async (claim, host) => {
    const { identity, observed } = claim;
    if (identity.kind === 'process') await cleanupProcess(marks, identity, claim, host);
    if (identity.kind === 'folder')
      await removeOwnedPath(identity.path, { ...claim, observed: pathOf(observed) }, host);
  },

  reconcile: async ({ identity, observed }: VmmClaim): Promise<Reconciled> => {
    if (identity.kind === 'process') {
      const isThere =
        observed !== undefined &&
        'pid' in observed &&
        (await isOurs(marks, observed, identity.name));
      return isThere ? 'healthy' : 'lost';
    }
    return identity.kind === 'user' ? 'healthy' : reconcilePath(identity.path, pathOf(observed));
  },

  hasObject: ({ kind }) => kind !== 'user',

  scan: async (host): Promise<readonly Found<VmmIdentity>[]> => {
    const prefix = processName(host.instance.token, '');
    const processes = await findByName(marks, (name) => name.startsWith(prefix));
    const parent = await cgroupParent(host.instance);
    const cgroups = parent === undefined ? [] : await listCgroups(marks.id, parent);
    const rooms = await listRooms(host.directory);
    const tokenOf = (name: string): string => name.slice(prefix.length).split('-')[0] ?? '';
    const running = processes.map(({ pid, name, vmId }) => {
      const token = tokenOf(name);
      const cgroup = cgroups.find((each) => each.token === token)?.path;
      const room = rooms.find((each) => each.token === token)?.path;
      return {
        token,
        description: `${marks.title} process ${String(pid)} (${name})`,
        identity: {
          kind: 'process' as const,
          name,
          sockets: [],
          ...(cgroup === undefined ? {} : { cgroup }),
          ...(room === undefined ? {} : { room }),
        },
        ...(vmId === undefined ? {} : { vmId }),
      };
    });
    /** Of a process that is gone. */
    const left = (what: 'cgroup' | 'room', { token, path }: (typeof rooms)[number]) => ({
      token,
      description: `${what} ${path}`,
      identity: {
        kind: 'process' as const,
        name: processName(host.instance.token, token),
        sockets: [],
        [what]: path,
      },
    });
    const isLeft = ({ token }: { readonly token: string }): boolean =>
      !running.some((each) => each.token === token);
    return [
      ...running,
      ...cgroups.filter(isLeft).map((each) => left('cgroup', each)),
      ...rooms.filter(isLeft).map((each) => left('room', each)),
      ...(await scanOwnedPaths(host, /^vm-([a-z2-7]+)$/, (path) => ({
        kind: 'folder' as const,
        path,
      }))),
    ];
  },
});
