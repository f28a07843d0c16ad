import { z } from '../../core/plugin-api/index.ts';

/** A path as git prints it: in C quotes with octal escapes where it has odd bytes (core.quotePath). */
const gitPath = z.string();

export const workspaceMode = z.enum(['shallow_overlay', 'full_copy', 'metadata_only']);

const contents = {
  /** Absolute; a folder of a git repository's working tree. */
  path: z.string().startsWith('/', { error: 'an absolute path' }),
  mode: workspaceMode.default('shallow_overlay'),
  /** A new branch in the guest, at `from`. */
  branch: z.string().min(1).optional(),
  /** Any revision that the repository knows; HEAD where absent. */
  from: z.string().min(1).optional(),
  includeUntracked: z.boolean().default(false),
};

export const workspaceCheck = z.strictObject(contents);
export type WorkspaceCheck = z.output<typeof workspaceCheck>;

export const changedFile = z.object({
  /** `A` added, `M` changed, `D` deleted, `T` of another type. */
  status: z.string(),
  path: gitPath,
});
export type ChangedFile = z.output<typeof changedFile>;

/** What goes in. */
export const workspaceContents = z.object({
  repository: z.string(),
  mode: workspaceMode,
  /** The commit that the guest begins with; null in a repository without one. */
  base: z.string().nullable(),
  /** Null: a detached HEAD. */
  branch: z.string().nullable(),
  /** The working tree's differences from `base` that go in. */
  changes: z.array(changedFile),
  /** Folders with a repository of their own that go in as well (full_copy). */
  submodules: z.array(gitPath),
  /** What a reader should know: what stays behind, and why. */
  notices: z.array(z.string()),
});
export type WorkspaceContents = z.output<typeof workspaceContents>;

export const workspacePrepare = z.strictObject({
  vm: z.string().min(1),
  ...contents,
  guestPath: z
    .string()
    .regex(/^\/(?!$)[^\0\n]*$/, { error: 'an absolute path in the guest, such as /root/repo' })
    .refine((path) => !path.split('/').includes('..'), { error: 'no `..` in it' })
    .default('/root/repo'),
});
export type WorkspacePrepare = z.output<typeof workspacePrepare>;

export const workspacePrepared = workspaceContents.extend({
  vm: z.string(),
  guestPath: z.string(),
  /** Sent to the guest, bytes. */
  bytes: z.number(),
});
export type WorkspacePrepared = z.output<typeof workspacePrepared>;

export const workspaceExport = z.strictObject({
  vm: z.string().min(1),
  /** A commit that the guest knows; the base of the workspace where absent. */
  baseCommit: z
    .string()
    .regex(/^[^-\0\n][^\0\n]*$/, { error: 'a commit' })
    .optional(),
});

export const workspaceExported = z.object({
  vm: z.string(),
  /** A file on the host with the patch, until the next export or the VM's deletion. */
  patch: z.string(),
  bytes: z.number(),
  base: z.string().nullable(),
  /** False where the base is not in the host's repository (any more), so that the patch could not be tried. */
  isTried: z.boolean(),
});
export type WorkspaceExported = z.output<typeof workspaceExported>;

export const workspaceOf = z.strictObject({ vm: z.string().min(1) });

export const workspacePulled = z.object({
  vm: z.string(),
  repository: z.string(),
  /** What was changed in the working tree. */
  changes: z.array(changedFile),
});
export type WorkspacePulled = z.output<typeof workspacePulled>;

/** Lists longer than this are cut; the counts are not. */
export const listedFiles = 1000;

const side = z.object({
  head: z.string().nullable(),
  branch: z.string().nullable(),
  /** Differences from what both sides had in common last (at prepare or pull), at most a thousand. */
  changes: z.array(changedFile),
  isCut: z.boolean(),
});

export const workspaceStatus = z.object({
  vm: z.string(),
  repository: z.string(),
  guestPath: z.string(),
  mode: workspaceMode,
  base: z.string().nullable(),
  createdAt: z.string(),
  /** Null where the VM does not run, or its repository cannot be read: see `guestError`. */
  guest: side
    .extend({
      /** Commits on top of the base. */
      commits: z.number(),
      /** Commits on other branches and in the stash that no export brings along. */
      commitsElsewhere: z.number(),
      /** Submodules with changes, and repositories that were made inside; no export brings them along either. */
      changedInside: z.number(),
    })
    .nullable(),
  guestError: z.string().nullable(),
  /** Null where the repository is not there any more. */
  host: side.nullable(),
  hostError: z.string().nullable(),
  /** What would be lost with the VM, as far as it is known: null for nothing. */
  unsaved: z.string().nullable(),
});
export type WorkspaceStatus = z.output<typeof workspaceStatus>;
