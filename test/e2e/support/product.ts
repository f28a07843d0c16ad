import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pollUntil } from './poll.ts';

const repository = join(import.meta.dirname, '..', '..', '..');

/**
 * Copies what was built into `folder`, from where it runs: a build under way in the repository would
 * otherwise change the build id in the middle of a test, and with it replace the test's daemon.
 * @returns the CLI to run
 */
export const copyProduct = async (folder: string): Promise<string> => {
  await mkdir(folder, { recursive: true });
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  await cp(join(repository, 'package.json'), join(folder, 'package.json'));
  await cp(join(repository, 'bin'), join(folder, 'bin'), { recursive: true });
  await pollUntil('a whole build in dist/; run `npm run build`', 120_000, async () => {
    const before = await finishedBuild(join(repository, 'dist'));
    if (before === undefined) return undefined;
    await rm(join(folder, 'dist'), { recursive: true, force: true });
    await cp(join(repository, 'dist'), join(folder, 'dist'), { recursive: true }).catch(
      ignoreAbsent,
    );
    const after = await finishedBuild(join(repository, 'dist'));
    return after === before && (await finishedBuild(join(folder, 'dist'))) === before
      ? before
      : undefined;
  });
  return join(folder, 'bin', 'banger');
};

/**
 * Makes a copied product one of another build, without another line of code in it.
 * @param folder a folder of copyProduct's
 */
export const becomeOtherBuild = async (folder: string, buildId: string): Promise<void> => {
  const dist = join(folder, 'dist');
  const own = await finishedBuild(dist);
  if (own === undefined) throw new Error(`no build in ${dist}`);
  const bundle = join(dist, 'cli.cjs');
  await writeFile(bundle, (await readFile(bundle, 'utf8')).replaceAll(own, buildId));
  await writeFile(join(dist, 'build-id'), `${buildId}\n`);
  // Compiled code of the bundle that was: V8 tells sources apart by their length alone.
  for (const name of ['cli.cache', 'daemon.cache']) await rm(join(dist, name), { force: true });
};

/** The id of a build that is complete: the build writes the CLI, which has the id in it, last. */
const finishedBuild = async (dist: string): Promise<string | undefined> => {
  const [id, cli] = await Promise.all(
    ['build-id', 'cli.cjs'].map((name) => readFile(join(dist, name), 'utf8').catch(ignoreAbsent)),
  );
  const trimmed = id?.trim() ?? '';
  return trimmed !== '' && cli?.includes(trimmed) === true ? trimmed : undefined;
};

const ignoreAbsent = (error: unknown): undefined => {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
};
