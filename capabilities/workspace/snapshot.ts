import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, newToken } from '../../core/plugin-api/index.ts';
import type { ChangedFile } from './contract.ts';
import { lines } from './git.ts';
import { unquotePath } from './quoted-path.ts';
import type { Repository } from './repository.ts';
import { copyIndex, type View } from './view.ts';

/** A submodule's place, as the repository's index has it. */
export interface Gitlink {
  readonly path: string;
  readonly commit: string;
}

export interface Snapshot {
  /** The index as it was; null while it has conflicts in it. */
  readonly index: string | null;
  /** The working tree: tracked files, and what else was asked for. */
  readonly tree: string;
}

export interface SnapshotOptions {
  readonly signal: AbortSignal;
  readonly includeUntracked?: boolean;
  /** Paths that are taken as well, if they are there, whatever ignores them; NUL after each. */
  readonly also?: Buffer;
  /** Commits that submodules are at; undefined leaves them as the index has them. */
  readonly submodules?: readonly Gitlink[];
  readonly onNotice?: (text: string) => void;
}

/** Works on a copy of the repository's index, which goes again. */
const withIndex = async <T>(
  view: View,
  repository: Repository,
  work: (env: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> => {
  const index = join(view.gitDir, `index-${newToken(8)}`);
  try {
    await copyIndex(repository, index);
    return await work({ GIT_INDEX_FILE: index });
  } finally {
    await rm(index, { force: true });
    await rm(`${index}.lock`, { force: true });
  }
};

/** `160000 COMMIT STAGE\tPATH` of git-ls-files(1). */
const gitlinkLine = /^160000 ([0-9a-f]+) \d\t(.+)$/;

/** @throws BangerError REPOSITORY_UNSUITABLE for one whose name cannot be written down */
export const findGitlinks = (
  view: View,
  repository: Repository,
  signal: AbortSignal,
): Promise<Gitlink[]> =>
  withIndex(view, repository, async (env) => {
    const listed = await view.git(['ls-files', '--stage'], { signal, env });
    return lines(listed).flatMap((line) => {
      const [, commit, quoted] = gitlinkLine.exec(line) ?? [];
      if (commit === undefined || quoted === undefined) return [];
      return [{ path: gitlinkPath(quoted), commit }];
    });
  });

/** An index that git did not write can name what is outside. @throws BangerError REPOSITORY_UNSUITABLE */
export const gitlinkPath = (quoted: string): string => {
  const path = unquotePath(quoted).toString();
  if (
    /[\ufffd\n]/.test(path) ||
    path.split('/').some((part) => ['', '.', '..', '.git'].includes(part))
  )
    throw new BangerError(
      'REPOSITORY_UNSUITABLE',
      `the path of the submodule ${quoted} is none that can be taken along`,
    );
  return path;
};

/** Writes the working tree's state as objects of the view's own. */
export const takeSnapshot = (
  view: View,
  repository: Repository,
  gitlinks: readonly Gitlink[],
  { signal, includeUntracked, also, submodules = [], onNotice }: SnapshotOptions,
): Promise<Snapshot> =>
  withIndex(view, repository, async (env) => {
    const git = (args: readonly string[], okCodes = [0]) =>
      view.git(args, { signal, env, okCodes });
    const staged = await git(['write-tree'], [0, 128]);
    // git would look into a submodule by the submodule's own configuration.
    if (gitlinks.length > 0)
      await git(['update-index', '--skip-worktree', '--', ...gitlinks.map(({ path }) => path)]);
    const genuine = await unchangedPointers(view, repository, env, signal);
    await git(['add', '--update']);
    for (const { path, object, mode } of genuine)
      await git(['update-index', '--cacheinfo', `${mode},${object},${path}`]);
    const more = [
      ...(includeUntracked === true ? await untracked(view, env, signal, onNotice) : []),
      ...(also === undefined || also.length === 0 ? [] : [also]),
    ];
    if (more.length > 0) await addPaths(view, env, Buffer.concat(more), signal);
    for (const { path, commit } of submodules)
      await git(['update-index', '--cacheinfo', `160000,${commit},${path}`]);
    return {
      index: staged.exitCode === 0 ? staged.stdout.trim() : null,
      tree: (await git(['write-tree'])).stdout.trim(),
    };
  });

const addPaths = async (
  view: View,
  env: Readonly<Record<string, string>>,
  paths: Buffer,
  signal: AbortSignal,
): Promise<void> => {
  const list = join(view.gitDir, `paths-${newToken(8)}`);
  try {
    await writeFile(list, paths);
    await view.git(
      [
        '--literal-pathspecs',
        'add',
        '--force',
        `--pathspec-from-file=${list}`,
        '--pathspec-file-nul',
      ],
      { signal, env },
    );
  } finally {
    await rm(list, { force: true });
  }
};

/** Files that are neither tracked nor ignored. A repository in the repository is not one of its files. */
const untracked = async (
  view: View,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
  onNotice: SnapshotOptions['onNotice'],
): Promise<Buffer[]> => {
  const listed = await view.git(['ls-files', '--others', '--exclude-standard'], { signal, env });
  return lines(listed).flatMap((line) => {
    if (!/\/"?$/.test(line)) return [unquotePath(line), Buffer.of(0)];
    onNotice?.(`${line} is a repository of its own and stays behind`);
    return [];
  });
};

const pointerVersion = 'version https://git-lfs.github.com/spec/v1';

/**
 * Files of git LFS whose content in the working tree is what their pointer names. Without LFS's filter git cannot
 * tell, where their times do not, and would take them for changed.
 */
const unchangedPointers = async (
  view: View,
  repository: Repository,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ path: string; object: string; mode: string }[]> => {
  const suspects = lines(
    await view.git(['ls-files', '--modified', '--stage', '--', ':(attr:filter=lfs)'], {
      signal,
      env,
    }),
  );
  const found: { path: string; object: string; mode: string }[] = [];
  for (const line of new Set(suspects)) {
    const [, mode, object, quoted] = /^(100644|100755) ([0-9a-f]+) 0\t(.+)$/.exec(line) ?? [];
    if (mode === undefined || object === undefined || quoted === undefined) continue;
    const path = unquotePath(quoted).toString();
    const pointer = (await view.git(['cat-file', 'blob', object], { signal })).stdout;
    const [, oid] = /^oid sha256:([0-9a-f]{64})$/m.exec(pointer) ?? [];
    if (!pointer.startsWith(pointerVersion) || oid === undefined) continue;
    const file = join(repository.top, path);
    if ((await realpath(file).catch(() => undefined)) !== file) continue;
    if ((await lstat(file)).isFile() && (await sha256Of(file)) === oid)
      found.push({ path, object, mode });
  }
  return found;
};

const sha256Of = async (path: string): Promise<string> => {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) digest.update(chunk as Buffer);
  return digest.digest('hex');
};

/** What differs between two trees, without guessing at renames. */
export const differences = async (
  view: View,
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<ChangedFile[]> =>
  parseNameStatus(
    (await view.git(['diff-tree', '-r', '--no-renames', '--name-status', from, to], { signal }))
      .stdout,
  );

/** `M\tPATH` lines of git-diff-tree(1). What is no such line, because a guest made it up, is left out. */
export const parseNameStatus = (text: string): ChangedFile[] =>
  text.split('\n').flatMap((line) => {
    const [, status, path] = /^([AMDT])\t([\x20-\x7e\u00a0-\uffff]+)$/.exec(line) ?? [];
    return status === undefined || path === undefined ? [] : [{ status, path }];
  });

export const emptyTree = (format: Repository['format']): string =>
  format === 'sha1'
    ? '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
    : '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321';
