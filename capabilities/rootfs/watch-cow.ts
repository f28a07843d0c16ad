import { stat } from 'node:fs/promises';
import {
  formatSize,
  messageOf,
  type Executor,
  type Logger,
  type Vms,
} from '../../core/plugin-api/index.ts';
import { freeBytes } from './cow.ts';
import { unlessAbsent } from './absent.ts';
import { snapshotStatus, type SnapshotStatus } from './targets.ts';

export interface WatchedCow {
  readonly vm: { readonly id: string; readonly name: string };
  /** The snapshot's. */
  readonly target: string;
  /** The COW file. */
  readonly path: string;
}

export interface CowWatch {
  add(watched: WatchedCow): void;
  remove(vmId: string): void;
}

export interface CowWatchOptions {
  readonly exec: Executor;
  readonly directory: string;
  readonly vms: Pick<Vms, 'setCondition'>;
  readonly log: Logger;
}

const everyMs = 4_000;
const warnAt = 0.8;

/** Kinds of conditions, in the order of how bad they are. */
export type CowCondition = 'cow-80' | 'cow-full';

export interface CowUse {
  readonly condition: CowCondition | undefined;
  readonly detail: string;
}

/**
 * The file is sparse and has room for every chunk of the disk: so what limits it is most often the host's file system.
 * @param free bytes on it
 */
export const cowUse = (
  { invalid, usedBytes, totalBytes }: SnapshotStatus,
  free: number,
  directory: string,
  vmName: string,
): CowUse => {
  if (invalid) {
    return {
      condition: 'cow-full',
      detail:
        `the root disk could not be written to any more, and gives the guest I/O errors; free some space in ` +
        `${directory} (${formatSize(Math.max(free, 1))} left), then: banger vm restart ${vmName}`,
    };
  }
  if (usedBytes === undefined || totalBytes === undefined)
    return { condition: undefined, detail: '' };
  const limit = usedBytes + Math.min(free, totalBytes - usedBytes);
  const use = limit === 0 ? 1 : usedBytes / limit;
  return {
    condition: use >= warnAt ? 'cow-80' : undefined,
    detail:
      `what the VM wrote to its root disk has ${formatSize(usedBytes)}, ${String(Math.floor(use * 100))} % of what there is ` +
      `room for; free some space in ${directory}, or delete VMs`,
  };
};

interface State extends WatchedCow {
  modifiedMs: number;
  /** Looks in a row at which the file had not changed. */
  quiet: number;
  /** What was told last; null: nothing by this daemon, so that what an earlier one told may be there still. */
  told: CowCondition | undefined | null;
}

/**
 * Looks at the COW files of running VMs. An idle guest costs a stat(2) of its file now and then; the kernel is asked
 * only where a file has changed or there is a warning to take back, about all in one call.
 */
export const createCowWatch = ({ exec, directory, vms, log }: CowWatchOptions): CowWatch => {
  const states = new Map<string, State>();
  let timer: NodeJS.Timeout | undefined;
  let isLooking = false;

  const isToBeLookedAt = async (state: State): Promise<boolean> => {
    const modifiedMs = (await unlessAbsent(stat(state.path)))?.mtimeMs ?? 0;
    state.quiet = modifiedMs === state.modifiedMs ? state.quiet + 1 : 0;
    state.modifiedMs = modifiedMs;
    // Once more after the last change: a write that failed is noted a moment after it was begun. And room comes back
    // without a write.
    return state.quiet < 2 || state.told !== undefined;
  };

  const tell = (state: State, { condition, detail }: CowUse): void => {
    if (condition === state.told) return;
    for (const kind of ['cow-80', 'cow-full'] as const)
      vms.setCondition(state.vm, kind, kind === condition ? detail : undefined);
    const before = state.told;
    state.told = condition;
    const fields = { vm: state.vm.name, path: state.path };
    if (condition === undefined) {
      if (before !== null) log.info(fields, 'the root disk has room again');
    } else if (condition === 'cow-full') log.error(fields, detail);
    else log.warn(fields, detail);
  };

  const look = async (): Promise<void> => {
    const changed: State[] = [];
    for (const state of states.values()) if (await isToBeLookedAt(state)) changed.push(state);
    if (changed.length === 0) return;
    const [statuses, free] = await Promise.all([snapshotStatus(exec), freeBytes(directory)]);
    for (const state of changed) {
      const status = statuses.get(state.target);
      // Stopped meanwhile, perhaps.
      if (status === undefined || states.get(state.vm.id) !== state) continue;
      tell(state, cowUse(status, free, directory, state.vm.name));
    }
  };

  const onTimer = (): void => {
    if (isLooking) return;
    isLooking = true;
    look()
      .catch((error: unknown) => {
        log.warn({ error: messageOf(error) }, 'the use of root disks could not be looked at');
      })
      .finally(() => (isLooking = false));
  };

  return {
    add: (watched) => {
      states.set(watched.vm.id, { ...watched, modifiedMs: 0, quiet: 0, told: null });
      timer ??= setInterval(onTimer, everyMs).unref();
    },
    remove: (vmId) => {
      states.delete(vmId);
      if (states.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    },
  };
};
