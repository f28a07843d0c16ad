import { messageOf, type OperationContext, type VmRecord } from '../../core/plugin-api/index.ts';
import { listedFiles, type WorkspaceStatus } from './contract.ts';
import { statusScript } from './guest-scripts.ts';
import { getWorkspace, viewFolder, type Kit } from './kit.ts';
import { readMemory, unsaved, writeMemory, type Memory } from './memory.ts';
import { findRepository } from './repository.ts';
import { runInGuest } from './run-in-guest.ts';
import { differences, findGitlinks, parseNameStatus, takeSnapshot } from './snapshot.ts';
import { openView } from './view.ts';
import type { RecordedWorkspace } from './identity.ts';

/** A thousand paths of a hundred bytes, ten times over. */
const maxStatus = 1024 ** 2;

type GuestSide = NonNullable<WorkspaceStatus['guest']>;

export interface Look {
  readonly side: GuestSide;
  readonly memory: Memory;
}

/** Looks at the guest's side, and remembers what it saw. */
export const lookAtGuest = async (
  kit: Kit,
  vm: VmRecord,
  { path: folder, guestPath, base }: RecordedWorkspace,
  signal: AbortSignal,
  isFinal = false,
): Promise<Look> => {
  const memory = await readMemory(folder);
  let text = '';
  await runInGuest(
    kit.guests.of(vm),
    vm.name,
    statusScript,
    [guestPath, base ?? '', memory.shared, String(listedFiles + 1)],
    {
      signal,
      maxOutput: maxStatus,
      onOutput: (chunk) => {
        text += chunk.toString('utf8');
      },
    },
  );
  const cut = text.indexOf('\nfiles\n');
  const facts = new Map(
    text
      .slice(0, Math.max(0, cut))
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
  );
  const tree = idOf(facts.get('tree'));
  if (cut === -1 || tree === null) throw new Error('the guest does not say how its workspace is');
  const changes = parseNameStatus(text.slice(cut + '\nfiles\n'.length));
  const elsewhere = countOf(facts.get('elsewhere'));
  const inner = countOf(facts.get('inner'));
  const now: Memory = {
    ...memory,
    seen: { tree, elsewhere, inner, at: new Date().toISOString(), isFinal },
  };
  await writeMemory(folder, now);
  return {
    memory: now,
    side: {
      head: idOf(facts.get('head')),
      branch: nameOf(facts.get('branch')),
      changes: changes.slice(0, listedFiles),
      isCut: changes.length > listedFiles,
      commits: countOf(facts.get('commits')),
      commitsElsewhere: elsewhere,
      changedInside: inner,
    },
  };
};

const idOf = (text: string | undefined): string | null =>
  text !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? text : null;

const countOf = (text: string | undefined): number =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;

/** git allows no control characters and no spaces in a branch's name; who says otherwise is no git. */
const nameOf = (text: string | undefined): string | null =>
  text !== undefined && /^[\x21-\x7e\u00a0-\uffff]{1,250}$/.test(text) ? text : null;

const lookAtHost = async (
  kit: Kit,
  { path: folder, repository: top }: RecordedWorkspace,
  { shared }: Memory,
  signal: AbortSignal,
): Promise<NonNullable<WorkspaceStatus['host']>> => {
  const repository = await findRepository(kit.exec, top, signal);
  const view = openView(kit.exec, viewFolder(folder), repository.top);
  const gitlinks = await findGitlinks(view, repository, signal);
  const { tree } = await takeSnapshot(view, repository, gitlinks, { signal });
  const changes = await differences(view, shared, tree, signal);
  return {
    head: repository.head,
    branch: repository.branch,
    changes: changes.slice(0, listedFiles),
    isCut: changes.length > listedFiles,
  };
};

/** What has moved on either side since they had it in common. */
export const workspaceStatusOf = async (
  kit: Kit,
  vm: VmRecord,
  { signal }: Pick<OperationContext, 'signal'>,
): Promise<WorkspaceStatus> => {
  const workspace = getWorkspace(kit, vm);
  const isRunning = kit.vms.isRunning(vm);
  const guest = isRunning
    ? await lookAtGuest(kit, vm, workspace, signal).catch((error: unknown) => messageOf(error))
    : 'the VM does not run';
  signal.throwIfAborted();
  const memory = await readMemory(workspace.path);
  const host = await lookAtHost(kit, workspace, memory, signal).catch((error: unknown) =>
    messageOf(error),
  );
  signal.throwIfAborted();
  const isCurrent = typeof guest !== 'string' || memory.seen.isFinal;
  return {
    vm: vm.name,
    repository: workspace.repository,
    guestPath: workspace.guestPath,
    mode: workspace.mode,
    base: workspace.base,
    createdAt: workspace.createdAt,
    guest: typeof guest === 'string' ? null : guest.side,
    guestError: typeof guest === 'string' ? guest : null,
    host: typeof host === 'string' ? null : host,
    hostError: typeof host === 'string' ? host : null,
    unsaved: unsaved(memory, workspace.guestPath, isCurrent) ?? null,
  };
};
