import { lstat, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  newToken,
  type OperationContext,
  type VmRecord,
} from '../../core/plugin-api/index.ts';
import type { ChangedFile, WorkspacePulled } from './contract.ts';
import { formatOf, seenNow } from './export.ts';
import { getWorkspace, viewFolder, type Kit } from './kit.ts';
import { readMemory, withSaved, writeMemory, type Memory } from './memory.ts';
import { commitTree, refs, writeRef } from './pack.ts';
import { baseTree, fetchPatch, tryPatch } from './patch.ts';
import { unquotePath } from './quoted-path.ts';
import { findRepository, type Repository } from './repository.ts';
import { differences, findGitlinks, takeSnapshot } from './snapshot.ts';
import { openView, type View } from './view.ts';

/**
 * Merges the guest's changes into the host's working tree: what both had in common, what the host has made of it, and
 * what the guest has. Trees are merged, and files are only written when all of it is known to fit.
 * @throws BangerError WORKSPACE_CONFLICT; then nothing was changed
 */
export const pull = async (
  kit: Kit,
  vm: VmRecord,
  operation: Pick<OperationContext, 'signal' | 'progress'>,
): Promise<WorkspacePulled> => {
  const { signal } = operation;
  const workspace = getWorkspace(kit, vm);
  kit.vms.assertRunning(vm);
  const { path: folder, base, guestPath } = workspace;
  const repository = await findRepository(kit.exec, workspace.repository, signal);
  const memory = await readMemory(folder);
  const view = openView(kit.exec, viewFolder(folder), repository.top);
  operation.progress({ text: `reading ${guestPath} in ${vm.name}` });
  const patch = await fetchPatch(
    kit.guests.of(vm),
    vm.name,
    { guestPath, base: baseTree(base, formatOf(memory.shared)), maxPatch: kit.maxPatch },
    folder,
    signal,
  );
  const theirs = await tryPatch(view, base, patch, kit.maxPatch, signal);
  await rm(patch.path, { force: true });
  const changes = await merge(view, repository, vm.name, { memory, theirs }, signal);
  await writeRef(view, refs.shared, await commitTree(view, theirs, null, signal));
  await writeMemory(folder, {
    ...seenNow(withSaved(memory, patch.tree), patch),
    shared: theirs,
  });
  return { vm: vm.name, repository: repository.top, changes };
};

/** git's exit code for options that it does not know. */
const gitUsage = 129;

const merge = async (
  view: View,
  repository: Repository,
  vmName: string,
  { memory, theirs }: { memory: Memory; theirs: string },
  signal: AbortSignal,
): Promise<ChangedFile[]> => {
  const git = (args: readonly string[], okCodes = [0]) => view.git(args, { signal, okCodes });
  const wanted = await differences(view, memory.shared, theirs, signal);
  if (wanted.length === 0) return [];
  const gitlinks = await findGitlinks(view, repository, signal);
  const { tree: ours } = await takeSnapshot(view, repository, gitlinks, {
    signal,
    also: await standing(
      repository,
      wanted.filter(({ path }) => !gitlinks.some((each) => each.path === path)),
    ),
  });
  const common = await commitTree(view, memory.shared, null, signal);
  const [left, right] = [
    await commitTree(view, ours, common, signal),
    await commitTree(view, theirs, common, signal),
  ];
  const merged = await git(
    ['merge-tree', '--write-tree', '--name-only', '--no-messages', left, right],
    [0, 1, gitUsage],
  );
  if (merged.exitCode === gitUsage)
    throw new BangerError(
      'TOOL_MISSING',
      'git on this host is older than 2.38 and cannot merge so',
      {
        remedy: `Install a newer git, or take a patch: banger vm workspace export ${vmName} --output FILE.`,
      },
    );
  const [tree = '', ...conflicts] = merged.stdout.split('\n').filter((line) => line !== '');
  if (merged.exitCode === 1) throw conflict(vmName, [...new Set(conflicts)]);
  const changes = await differences(view, ours, tree, signal);
  if (changes.length > 0) await applyToWorkTree(view, vmName, ours, tree, signal);
  return changes;
};

const conflict = (vmName: string, paths: readonly string[]): BangerError =>
  new BangerError(
    'WORKSPACE_CONFLICT',
    `both sides have changed ${paths.slice(0, 10).join(', ')}${
      paths.length > 10 ? ` and ${String(paths.length - 10)} more` : ''
    }; nothing was changed`,
    {
      remedy: `Commit or set aside what the host has there, or merge by hand: banger vm workspace export ${vmName} --output FILE.`,
    },
  );

/**
 * What stands on the host where the guest has changed something, tracked or not: it is the host's side of the merge. A
 * file in the place of a folder counts too.
 */
const standing = async ({ top }: Repository, wanted: readonly ChangedFile[]): Promise<Buffer> => {
  const found: Buffer[] = [];
  for (const { path } of wanted) {
    const at = await firstStanding(top, unquotePath(path));
    if (at !== undefined) found.push(at, Buffer.of(0));
  }
  return Buffer.concat(found);
};

const slash = 0x2f;

/** The path itself, or that of its folders which is none; undefined where nothing is there. */
const firstStanding = async (top: string, path: Buffer): Promise<Buffer | undefined> => {
  for (let end = path.indexOf(slash); ; end = path.indexOf(slash, end + 1)) {
    const here = end === -1 ? path : path.subarray(0, end);
    const stat = await lstat(Buffer.concat([Buffer.from(`${top}/`), here])).catch(
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      },
    );
    if (stat === undefined) return undefined;
    if (end === -1 || !stat.isDirectory()) return here;
  }
};

/** By `git apply`, which looks at all files before it writes one, and keeps to the working tree. */
const applyToWorkTree = async (
  view: View,
  vmName: string,
  ours: string,
  merged: string,
  signal: AbortSignal,
): Promise<void> => {
  const patch = join(view.gitDir, 'merged.patch');
  try {
    await view.git(
      [
        ...['diff-tree', '-r', '-p', '--no-renames', '--binary', '--full-index', '--no-ext-diff'],
        // A commit of a submodule is not on the host.
        ...['--ignore-submodules=all', '--no-textconv', `--output=${patch}`, ours, merged],
      ],
      { signal },
    );
    const { exitCode, stderr } = await view.git(['apply', '--whitespace=nowarn', patch], {
      signal,
      okCodes: [0, 1, 128],
    });
    if (exitCode === 0) return;
    // 1: it has looked, and written nothing. 128: it had begun (a full disk, a folder in the way).
    if (exitCode === 128) await restore(view, ours, merged);
    throw new BangerError(
      'WORKSPACE_CONFLICT',
      `the working tree does not take the guest’s changes, nothing was changed: ${stderr.trim().slice(0, 500)}`,
      {
        remedy: `Mend that, or take them as a patch: banger vm workspace export ${vmName} --output FILE.`,
      },
    );
  } finally {
    await rm(patch, { force: true });
  }
};

/** Puts the files in which two trees differ back to the first. Not to be cancelled. */
const restore = async (view: View, ours: string, merged: string): Promise<void> => {
  const { signal } = new AbortController();
  const token = newToken(8);
  const env = { GIT_INDEX_FILE: join(view.gitDir, `index-${token}`) };
  const list = join(view.gitDir, `paths-${token}`);
  try {
    const changes = await differences(view, ours, merged, signal);
    const paths = changes.flatMap(({ path }) => [unquotePath(path), Buffer.of(0)]);
    await writeFile(list, Buffer.concat(paths));
    await view.git(['read-tree', merged], { signal, env });
    await view.git(
      [
        ...['--literal-pathspecs', 'restore', '--worktree', `--source=${ours}`],
        ...[`--pathspec-from-file=${list}`, '--pathspec-file-nul'],
      ],
      { signal, env },
    );
  } finally {
    await rm(env.GIT_INDEX_FILE, { force: true });
    await rm(list, { force: true });
  }
};
