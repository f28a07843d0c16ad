import { lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';
import type { WorkspaceCheck, WorkspaceContents } from './contract.ts';
import { lines } from './git.ts';
import { commitTree, cutHistoryAt, listRefs, refs, writePackedRefs, writeRef } from './pack.ts';
import { assertBranchName, findRepository, resolveCommit, type Repository } from './repository.ts';
import {
  differences,
  emptyTree,
  findGitlinks,
  gitlinkPath,
  takeSnapshot,
  type Gitlink,
  type Snapshot,
} from './snapshot.ts';
import type { View } from './view.ts';

export type Choice = Omit<WorkspaceCheck, 'path'>;

/** What is to go in, with its objects in the view. */
export interface Contents extends Snapshot {
  readonly repository: Repository;
  readonly base: string | null;
  readonly branch: string | null;
  readonly submodules: readonly Gitlink[];
  readonly summary: WorkspaceContents;
}

/**
 * The commit that the guest begins with; null in a repository without one.
 * @throws BangerError INPUT_INVALID
 */
export const chooseBase = async (
  exec: Executor,
  repository: Repository,
  { branch, from }: Choice,
  signal: AbortSignal,
): Promise<string | null> => {
  if (from !== undefined && branch === undefined)
    throw new BangerError('INPUT_INVALID', 'a revision to begin from needs a branch', {
      remedy: 'Name it: --branch NAME --from REVISION.',
    });
  if (branch !== undefined) await assertBranchName(exec, repository, branch, signal);
  return from === undefined ? repository.head : resolveCommit(exec, repository, from, signal);
};

/**
 * Looks at a working tree and writes its state into the view. Nothing of the repository is changed, and nothing
 * that it names is run.
 * @param base by chooseBase
 * @throws BangerError REPOSITORY_UNSUITABLE
 */
export const gatherContents = async (
  exec: Executor,
  view: View,
  repository: Repository,
  base: string | null,
  { mode, branch: newBranch, includeUntracked }: Choice,
  signal: AbortSignal,
): Promise<Contents> => {
  const notices: string[] = [];
  const isAtHead = base === repository.head;
  const hasTree = mode !== 'metadata_only' && isAtHead;
  const gitlinks = hasTree
    ? await findGitlinks(view, repository, signal)
    : await gitlinksIn(view, base, signal);
  const [first] = gitlinks;
  if (first !== undefined && mode !== 'full_copy')
    throw new BangerError(
      'REPOSITORY_UNSUITABLE',
      `${repository.top} has the submodule '${first.path}', which ${mode} does not take along`,
      { remedy: 'Take all of it: --mode full_copy.' },
    );
  const submodules = hasTree ? await populated(exec, repository, gitlinks, signal) : [];
  const start = base === null ? emptyTree(repository.format) : `${base}^{tree}`;
  const snapshot = hasTree
    ? await takeSnapshot(view, repository, gitlinks, {
        signal,
        includeUntracked,
        submodules,
        onNotice: (text) => notices.push(text),
      })
    : await committed(view, start, signal);
  if (!isAtHead && mode !== 'metadata_only')
    notices.push('the working tree’s changes stay behind: they are on top of HEAD');
  if (hasTree && !includeUntracked) notices.push(...(await leftBehind(view, repository, signal)));
  for (const { path } of gitlinks)
    if (!submodules.some((each) => each.path === path))
      notices.push(`the submodule ${path} is not there on the host, and stays empty`);
  const branch = newBranch ?? repository.branch;
  return {
    repository,
    base,
    branch,
    submodules,
    ...snapshot,
    summary: {
      repository: repository.top,
      mode,
      base,
      branch,
      changes: await differences(view, start, snapshot.tree, signal),
      submodules: submodules.map(({ path }) => path),
      notices,
    },
  };
};

const committed = async (view: View, start: string, signal: AbortSignal): Promise<Snapshot> => {
  const tree = (await view.git(['rev-parse', '--verify', start], { signal })).stdout.trim();
  return { index: tree, tree };
};

const gitlinksIn = async (
  view: View,
  commit: string | null,
  signal: AbortSignal,
): Promise<Gitlink[]> => {
  if (commit === null) return [];
  return lines(await view.git(['ls-tree', '-r', commit], { signal })).flatMap((line) => {
    const [, id, quoted] = /^160000 commit ([0-9a-f]+)\t(.+)$/.exec(line) ?? [];
    return id === undefined || quoted === undefined
      ? []
      : [{ path: gitlinkPath(quoted), commit: id }];
  });
};

/** Submodules that are checked out, with the commits that they are at. */
const populated = async (
  exec: Executor,
  { top }: Repository,
  gitlinks: readonly Gitlink[],
  signal: AbortSignal,
): Promise<Gitlink[]> => {
  const found: Gitlink[] = [];
  for (const { path } of gitlinks) {
    const folder = join(top, path);
    const isThere = await lstat(join(folder, '.git')).then(
      () => true,
      () => false,
    );
    // Not through a symlink, which could lead anywhere.
    if (!isThere || (await realpath(folder)) !== join(await realpath(top), path)) continue;
    const { head } = await findRepository(exec, folder, signal);
    if (head !== null) found.push({ path, commit: head });
  }
  return found;
};

const leftBehind = async (
  view: View,
  { indexPath }: Repository,
  signal: AbortSignal,
): Promise<string[]> => {
  const listed = await view.git(['ls-files', '--others', '--exclude-standard', '--directory'], {
    signal,
    env: { GIT_INDEX_FILE: indexPath },
  });
  const count = lines(listed).length;
  return count === 0
    ? []
    : [
        `${String(count)} untracked ${count === 1 ? 'entry stays' : 'entries stay'} behind; --include-untracked takes ${count === 1 ? 'it' : 'them'} along`,
      ];
};

/** Commits and refs of what goes in, so that a pack of all that the view's refs lead to is what the guest needs. */
export const writeCommits = async (
  exec: Executor,
  view: View,
  { repository, base, index, tree }: Contents,
  isFull: boolean,
  signal: AbortSignal,
): Promise<{ readonly index: string; readonly tree: string }> => {
  if (isFull) await writePackedRefs(view, await listRefs(exec, repository, signal));
  else if (base !== null) await cutHistoryAt(view, base);
  const treeCommit = await commitTree(view, tree, base, signal);
  const indexCommit =
    index === null || index === tree ? treeCommit : await commitTree(view, index, base, signal);
  if (base !== null) await writeRef(view, refs.base, base);
  await writeRef(view, refs.index, indexCommit);
  await writeRef(view, refs.tree, treeCommit);
  await writeRef(view, refs.shared, treeCommit);
  return { index: indexCommit, tree: treeCommit };
};
