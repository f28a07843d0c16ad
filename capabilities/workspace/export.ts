import type { OperationContext, VmRecord } from '../../core/plugin-api/index.ts';
import type { WorkspaceExported } from './contract.ts';
import { getWorkspace, viewFolder, type Kit } from './kit.ts';
import { readMemory, withSaved, writeMemory, type Memory } from './memory.ts';
import { baseTree, fetchPatch, tryPatch, type Patch } from './patch.ts';
import { openView, type View } from './view.ts';

/** The guest's working tree as one patch, in a file of the workspace's folder. */
export const exportPatch = async (
  kit: Kit,
  vm: VmRecord,
  baseCommit: string | undefined,
  operation: Pick<OperationContext, 'signal' | 'progress'>,
): Promise<WorkspaceExported> => {
  const { signal } = operation;
  const workspace = getWorkspace(kit, vm);
  kit.vms.assertRunning(vm);
  const { path: folder, base, guestPath, repository } = workspace;
  const memory = await readMemory(folder);
  const view = openView(kit.exec, viewFolder(folder), folder);
  operation.progress({ text: `reading ${guestPath} in ${vm.name}` });
  const patch = await fetchPatch(
    kit.guests.of(vm),
    vm.name,
    {
      guestPath,
      base: baseCommit ?? baseTree(base, formatOf(memory.shared)),
      maxPatch: kit.maxPatch,
    },
    folder,
    signal,
  );
  const from = baseCommit ?? base;
  const isTried = from === null || (await knows(view, from, signal));
  if (isTried) await tryPatch(view, from, patch, kit.maxPatch, signal);
  // Against another base a patch may leave out what is in that base and nowhere on the host.
  const isWhole = baseCommit === undefined || baseCommit === base;
  await writeMemory(folder, seenNow(isWhole ? withSaved(memory, patch.tree) : memory, patch));
  operation.progress({ text: `compared with ${repository}`, fraction: 1 });
  return { vm: vm.name, patch: patch.path, bytes: patch.bytes, base: from, isTried };
};

export const seenNow = (memory: Memory, { tree }: Pick<Patch, 'tree'>): Memory => ({
  ...memory,
  seen: { ...memory.seen, tree, at: new Date().toISOString(), isFinal: false },
});

/** git's ids tell their kind by their length. */
export const formatOf = (id: string): 'sha1' | 'sha256' => (id.length === 64 ? 'sha256' : 'sha1');

/** Whether the host's repository has a commit (still). */
const knows = async (view: View, commit: string, signal: AbortSignal): Promise<boolean> => {
  const { exitCode } = await view.git(
    ['rev-parse', '--quiet', '--verify', '--end-of-options', `${commit}^{tree}`],
    { signal, okCodes: [0, 1, 128] },
  );
  return exitCode === 0;
};
