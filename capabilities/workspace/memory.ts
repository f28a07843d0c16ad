import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newToken, z } from '../../core/plugin-api/index.ts';

/** What is known of a guest's working tree, in the workspace's folder. Ids are trees of git's. */
const schema = z.object({
  /** What both sides had in common last. */
  shared: z.string(),
  /** States of the guest that are on the host: what went in, was exported or pulled; the newest last. */
  saved: z.array(z.string()),
  /** The guest's last known state. */
  seen: z.object({
    tree: z.string(),
    /** Commits that no export brings along. */
    elsewhere: z.number(),
    /** Submodules that have changed, and repositories that were made in it: no export brings them along either. */
    inner: z.number(),
    at: z.string(),
    /** Looked at as the VM stopped, and it has not run since. */
    isFinal: z.boolean(),
  }),
});

export type Memory = z.output<typeof schema>;

const keptStates = 100;

const fileOf = (folder: string): string => join(folder, 'memory.json');

export const readMemory = async (folder: string): Promise<Memory> =>
  schema.parse(JSON.parse(await readFile(fileOf(folder), 'utf8')));

/** Whole or not at all. */
export const writeMemory = async (folder: string, memory: Memory): Promise<void> => {
  const part = join(folder, `memory-${newToken(8)}`);
  await writeFile(part, JSON.stringify({ ...memory, saved: memory.saved.slice(-keptStates) }));
  await rename(part, fileOf(folder));
};

/** That state of the guest is on the host now. */
export const withSaved = (memory: Memory, tree: string): Memory => ({
  ...memory,
  saved: [...memory.saved.filter((each) => each !== tree), tree],
});

/** What would be lost with the VM, after its name; undefined for nothing. */
export const unsaved = (
  { saved, seen }: Memory,
  guestPath: string,
  isCurrent = seen.isFinal,
): string | undefined => {
  if (!saved.includes(seen.tree))
    return `has changes in ${guestPath} that were never exported (seen ${seen.at})`;
  if (seen.elsewhere > 0)
    return `has ${String(seen.elsewhere)} commits in ${guestPath} on other branches or in the stash, which no export brings along (seen ${seen.at})`;
  if (seen.inner > 0)
    return `has ${String(seen.inner)} repositories or submodules inside ${guestPath} with changes that no export brings along (seen ${seen.at})`;
  return isCurrent
    ? undefined
    : `has run since its workspace ${guestPath} was looked at last (${seen.at}, all was exported then), so there may be changes`;
};
