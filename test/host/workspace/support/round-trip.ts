import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { expect } from 'vitest';
import type {
  WorkspaceExported,
  WorkspacePulled,
} from '../../../../capabilities/workspace/contract.ts';
import { BangerError } from '../../../../core/plugin-api/index.ts';
import { editFiles, readTree } from './files.ts';
import type { GitWorld } from './git-world.ts';
import { randomHistory } from './history.ts';
import { Random } from './random.ts';

/** What cases were made of, for the counts that are printed. */
export type Counts = Record<string, number>;

export const count = (counts: Counts, ...what: readonly string[]): void => {
  for (const each of what) counts[each] = (counts[each] ?? 0) + 1;
};

/** One repository with a history, or none yet, and somebody's changes in it. */
export const makeHost = async (world: GitWorld, random: Random, counts: Counts): Promise<void> => {
  const { host } = world;
  await world.git(host, ['init', '-q', '-b', 'main']);
  if (random.chance(0.08)) count(counts, 'unborn HEAD');
  else {
    const { stream, hasMerge } = randomHistory(random);
    await world.git(host, ['fast-import', '--quiet'], stream);
    await world.git(host, ['reset', '-q', '--hard', 'main']);
    if (hasMerge) count(counts, 'with a merge');
    if (random.chance(0.1)) {
      await world.git(host, ['checkout', '-q', '--detach']);
      count(counts, 'detached HEAD');
    }
  }
  if (random.chance(0.7)) await editFiles(host, random, 1 + random.below(4));
  if (random.chance(0.3)) {
    await world.git(host, ['add', '-A']);
    count(counts, 'with a staged index');
    if (random.chance(0.5)) await editFiles(host, random, 1 + random.below(3));
  }
};

/** Changes in the guest, some of them committed, some on a branch that is merged. */
export const editGuest = async (
  folder: string,
  random: Random,
  counts: Counts,
  git: (args: readonly string[]) => Promise<string>,
): Promise<void> => {
  const commit = async (): Promise<void> => {
    await git(['add', '-A']);
    await git(['commit', '-q', '--allow-empty', '-m', 'guest']);
  };
  await editFiles(folder, random, random.below(6));
  if (!random.chance(0.4)) return;
  await commit();
  count(counts, 'committed in the guest');
  if (random.chance(0.3)) {
    await git(['checkout', '-q', '-b', 'aside']);
    await editFiles(folder, random, 2);
    await commit();
    await git(['checkout', '-q', '-']);
    await git(['commit', '-q', '--allow-empty', '-m', 'beside']);
    await git(['merge', '-q', '--no-edit', '-X', 'theirs', 'aside']).catch(() =>
      git(['merge', '--abort']),
    );
    count(counts, 'merged in the guest');
  }
  if (random.chance(0.5)) await editFiles(folder, random, random.below(4));
};

const tracked = async (world: GitWorld, folder: string): Promise<Set<string>> =>
  new Set((await world.git(folder, ['ls-files', '-z'])).split('\0').filter((name) => name !== ''));

const only = (tree: ReadonlyMap<string, string>, names: ReadonlySet<string>): Map<string, string> =>
  new Map([...tree].filter(([name]) => names.has(name)));

const indexOf = (folder: string): Promise<string> =>
  readFile(join(folder, '.git', 'index'), 'latin1').catch(() => 'none');

/** Keeps `mirror` and the guest's repository the same, where these are not one folder. */
export interface Carrier {
  fetch(): Promise<void>;
  put(): Promise<void>;
}

const here: Carrier = { fetch: () => Promise.resolve(), put: () => Promise.resolve() };

/** In, changed in the guest, out as a patch onto a clean checkout, and by a pull into the host's working tree. */
export const roundTrip = async (
  world: GitWorld,
  seed: number,
  counts: Counts,
  { fetch, put }: Carrier = here,
): Promise<void> => {
  const random = new Random(seed);
  const { host, mirror } = world;
  await makeHost(world, random, counts);
  const before = await readTree(host);
  const hostTracked = await tracked(world, host);
  const status = (folder: string): Promise<string> =>
    world.git(folder, ['status', '--porcelain', '-z', '--untracked-files=no', '--no-renames']);
  const hostStatus = await status(host);
  const hostIndex = await indexOf(host);

  const includeUntracked = random.chance(0.15);
  const mode = random.chance(0.15) ? 'full_copy' : 'shallow_overlay';
  count(counts, `as a ${mode}`, ...(includeUntracked ? ['with untracked files'] : []));
  const { base } = await world.prepare<{ base: string | null }>({ mode, includeUntracked });
  expect(await readTree(host)).toEqual(before);
  await fetch();
  const shared = await readTree(mirror);
  expect(shared).toEqual(includeUntracked ? before : only(before, hostTracked));
  expect(await status(mirror)).toBe(hostStatus);

  await editGuest(mirror, random, counts, (args) => world.git(mirror, args));
  await put();
  const guest = await readTree(mirror);
  const guestIndex = await indexOf(mirror);
  const exported = await world.action<WorkspaceExported>('export', { vm: 'box' });
  expect(exported.isTried).toBe(true);
  await fetch();
  expect(await readTree(mirror)).toEqual(guest);
  expect(await indexOf(mirror)).toBe(guestIndex);
  expect(await readTree(host)).toEqual(before);
  await onCleanCheckout(world, base, exported, guest, counts);

  if (random.chance(0.5)) await editFiles(host, random, 1 + random.below(2));
  const now = await readTree(host);
  const isTouched = JSON.stringify([...now]) !== JSON.stringify([...before]);
  try {
    await world.action<WorkspacePulled>('pull', { vm: 'box' });
  } catch (error) {
    if (!(error instanceof BangerError) || error.code !== 'WORKSPACE_CONFLICT') throw error;
    expect(await readTree(host)).toEqual(now);
    expect(await indexOf(host)).toBe(hostIndex);
    count(
      counts,
      isTouched ? 'pull refused: both changed it' : 'pull refused: untracked in the way',
    );
    return;
  }
  const after = await readTree(host);
  expect(await indexOf(host)).toBe(hostIndex);
  count(counts, isTouched ? 'pulled beside changes of the host' : 'pulled');
  const names = new Set([...before.keys(), ...now.keys(), ...guest.keys(), ...after.keys()]);
  for (const name of names) {
    const isTheirs = guest.get(name) !== shared.get(name);
    const isOurs = now.get(name) !== shared.get(name);
    // Where both have changed it git has merged it, or followed a rename.
    if (isTheirs && !isTouched) expect([name, after.get(name)]).toEqual([name, guest.get(name)]);
    else if (!isTheirs && !isTouched)
      expect([name, after.get(name)]).toEqual([name, now.get(name)]);
    else if (!isTheirs && !isOurs) expect([name, after.get(name)]).toEqual([name, now.get(name)]);
  }
};

/** As a user takes a patch: `git apply --index`. */
const onCleanCheckout = async (
  world: GitWorld,
  base: string | null,
  { patch, bytes }: WorkspaceExported,
  guest: ReadonlyMap<string, string>,
  counts: Counts,
): Promise<void> => {
  const clean = join(world.root, 'clean');
  await mkdir(clean);
  const env = {
    GIT_DIR: join(world.host, '.git'),
    GIT_WORK_TREE: clean,
    GIT_INDEX_FILE: join(world.root, 'clean-index'),
  };
  const git = async (args: readonly string[]): Promise<void> => {
    const ran = await world.run('git', args, clean, undefined, env);
    if (ran.code !== 0) throw new Error(`git ${args.join(' ')}: ${ran.stderr}`);
  };
  if (base !== null) await git(['read-tree', '-u', '--reset', base]);
  if (bytes > 0) {
    await git(['apply', '--index', '--whitespace=nowarn', patch]);
    const text = await readFile(patch, 'latin1');
    for (const [what, pattern] of [
      ['with a rename', /^rename from /m],
      ['with a binary change', /^GIT binary patch$/m],
      ['with a mode change', /^new mode /m],
      ['with a symlink', /^(?:new file|old) mode 120000$|^index \S+ 120000$/m],
      ['with a deletion', /^deleted file mode /m],
      ['with a name that is not UTF-8', /^diff --git .*\\(?:351|376|200)/m],
      ['with a newline in a name', /^diff --git .*\\n/m],
    ] as const)
      if (pattern.test(text)) count(counts, what);
  } else count(counts, 'without a change');
  expect(await readTree(clean)).toEqual(guest);
};
