import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  newToken,
  type Claim,
  type Claims,
  type Executor,
  type Guests,
  type PathObserved,
  type VmRecord,
  type Vms,
} from '../../core/plugin-api/index.ts';
import type { RecordedWorkspace, WorkspaceIdentity } from './identity.ts';

export type WorkspaceClaims = Claims<WorkspaceIdentity, PathObserved>;

/** What the parts of this capability share. */
export interface Kit {
  readonly exec: Executor;
  readonly directory: string;
  /** The daemon's own: sees the claims of all VMs. */
  readonly claims: WorkspaceClaims;
  claimsOf(vm: { readonly id: string }, signal: AbortSignal): WorkspaceClaims;
  readonly vms: Pick<Vms, 'get' | 'isRunning' | 'assertRunning'>;
  readonly guests: Guests;
  /** Bytes. */
  readonly maxPatch: number;
}

export const findWorkspace = (
  { claims }: Pick<Kit, 'claims'>,
  vm: { readonly id: string },
): RecordedWorkspace | undefined => {
  const claim = claims
    .list({ scope: 'vm', all: true })
    .find(({ ownerId }: Claim<WorkspaceIdentity>) => ownerId === vm.id);
  return claim?.identity.kind === 'workspace' ? claim.identity : undefined;
};

/** @throws BangerError WORKSPACE_UNKNOWN */
export const getWorkspace = (kit: Pick<Kit, 'claims'>, vm: VmRecord): RecordedWorkspace => {
  const found = findWorkspace(kit, vm);
  if (found !== undefined) return found;
  throw new BangerError('WORKSPACE_UNKNOWN', `VM '${vm.name}' has no workspace`, {
    remedy: `Bring a repository in: banger vm workspace prepare ${vm.name} PATH`,
  });
};

/** Where git's view of the host's repository is, in the folder of a workspace or of a call. */
export const viewFolder = (folder: string): string => join(folder, 'view.git');

/**
 * A folder for the time of one call. The work is the allocation: as long as it lasts the claim is an intent,
 * which recovery undoes when the daemon is killed, and which is undone at once when the work fails.
 */
export const withScratch = async <T>(
  { claims, directory }: Pick<Kit, 'claims' | 'directory'>,
  work: (folder: string) => Promise<T>,
): Promise<T> => {
  const token = newToken(8);
  const path = join(directory, `scratch-${token}`);
  const key = `scratch:${token}`;
  const value = await claims.acquire(
    { key, scope: 'host', token, identity: { kind: 'scratch', path } },
    async () => {
      await mkdir(path, { mode: 0o700 });
      return { value: await work(path) };
    },
  );
  const claim = claims.list({ scope: 'host' }).find((each) => each.key === key);
  if (claim !== undefined) await claims.release(claim);
  return value;
};

/** One after the other, by key. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = (async () => {
      await before?.catch(() => undefined); // its own caller hears of it
      return work();
    })();
    this.#last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }
}
