import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  deadlineSignal,
  messageOf,
  newToken,
  observePath,
  type OperationContext,
  type VmRecord,
} from '../../core/plugin-api/index.ts';
import { chooseBase, gatherContents, writeCommits, type Contents } from './contents.ts';
import type {
  WorkspaceCheck,
  WorkspaceContents,
  WorkspacePrepare,
  WorkspacePrepared,
} from './contract.ts';
import { removeScript } from './guest-scripts.ts';
import { findWorkspace, viewFolder, withScratch, type Kit } from './kit.ts';
import { writeMemory } from './memory.ts';
import { findRepository } from './repository.ts';
import { runInGuest } from './run-in-guest.ts';
import { send, type Destination } from './send.ts';
import { createView } from './view.ts';

/** How long a guest may take to remove a folder, milliseconds. */
const takeAwayMs = 30_000;

type Operation = Pick<OperationContext, 'signal' | 'progress' | 'notice'>;

/** What a prepare would bring in. */
export const checkContents = async (
  kit: Kit,
  { path, ...choice }: WorkspaceCheck,
  signal: AbortSignal,
): Promise<WorkspaceContents> => {
  const repository = await findRepository(kit.exec, path, signal);
  return withScratch(kit, async (folder) => {
    const view = await createView(kit.exec, viewFolder(folder), repository);
    const base = await chooseBase(kit.exec, repository, choice, signal);
    return (await gatherContents(kit.exec, view, repository, base, choice, signal)).summary;
  });
};

/** Brings a repository in, and records what the guest began with. */
export const prepare = async (
  kit: Kit,
  vm: VmRecord,
  { path, guestPath, vm: _name, ...choice }: WorkspacePrepare,
  operation: Operation,
): Promise<WorkspacePrepared> => {
  const { signal } = operation;
  const known = findWorkspace(kit, vm);
  if (known !== undefined)
    throw new BangerError(
      'WORKSPACE_EXISTS',
      `VM '${vm.name}' has a workspace already: ${known.repository} at ${known.guestPath}`,
      { remedy: `Use it (banger vm workspace status ${vm.name}), or make another VM.` },
    );
  kit.vms.assertRunning(vm);
  const guest = kit.guests.of(vm);
  const repository = await findRepository(kit.exec, path, signal);
  const token = newToken(8);
  const folder = join(kit.directory, `workspace-${token}`);
  const base = await chooseBase(kit.exec, repository, choice, signal);
  return kit.claimsOf(vm, signal).acquire(
    {
      key: vm.id,
      scope: 'vm',
      token,
      identity: {
        kind: 'workspace',
        path: folder,
        repository: repository.top,
        base,
        guestPath,
        mode: choice.mode,
        createdAt: new Date().toISOString(),
      },
    },
    async () => {
      await mkdir(folder, { mode: 0o700 });
      const view = await createView(kit.exec, viewFolder(folder), repository);
      const contents = await gatherContents(kit.exec, view, repository, base, choice, signal);
      const isFull = choice.mode === 'full_copy';
      const commits = await writeCommits(kit.exec, view, contents, isFull, signal);
      const to = { guest, vmName: vm.name, guestPath };
      const sent = await send(view, contents, commits, to, operation);
      try {
        const bytes = sent + (await sendSubmodules(kit, contents, to, operation));
        await writeMemory(folder, {
          shared: contents.tree,
          saved: [contents.tree],
          seen: {
            tree: contents.tree,
            elsewhere: 0,
            inner: 0,
            at: new Date().toISOString(),
            isFinal: false,
          },
        });
        for (const notice of contents.summary.notices) operation.notice(notice);
        return {
          value: { ...contents.summary, vm: vm.name, guestPath, bytes },
          observed: await observePath(folder),
        };
      } catch (error) {
        await takeAway(to, operation);
        throw error;
      }
    },
  );
};

/** What has come in a moment ago. Not by the operation's signal, which may be what has failed. */
const takeAway = async (
  { guest, vmName, guestPath }: Destination,
  operation: Operation,
): Promise<void> => {
  try {
    const signal = deadlineSignal(takeAwayMs);
    await runInGuest(guest, vmName, removeScript, [guestPath], { signal, maxOutput: 0 });
  } catch (error) {
    operation.notice(`${guestPath} in VM '${vmName}' is still there: ${messageOf(error)}`);
  }
};

/** Each as a repository of its own, inside of the one that is there by now. */
const sendSubmodules = async (
  kit: Kit,
  { repository, submodules }: Contents,
  to: Destination,
  operation: Operation,
): Promise<number> => {
  const { signal } = operation;
  let bytes = 0;
  for (const { path } of submodules) {
    const inner = await findRepository(kit.exec, join(repository.top, path), signal);
    bytes += await withScratch(kit, async (scratch) => {
      const view = await createView(kit.exec, viewFolder(scratch), inner);
      const choice = { mode: 'full_copy', includeUntracked: false } as const;
      const contents = await gatherContents(kit.exec, view, inner, inner.head, choice, signal);
      const commits = await writeCommits(kit.exec, view, contents, true, signal);
      const into = { ...to, guestPath: join(to.guestPath, path) };
      return (
        (await send(view, contents, commits, into, operation)) +
        (await sendSubmodules(kit, contents, into, operation))
      );
    });
  }
  return bytes;
};
