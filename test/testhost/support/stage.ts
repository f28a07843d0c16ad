import { copyFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import type { ImageInfo } from '../../../capabilities/images/contract.ts';
import { packagesKey } from '../../../capabilities/images/keys.ts';
import { imageRecipes } from '../../../capabilities/images/recipe.ts';
import { resolvePaths } from '../../../core/config/paths.ts';
import type { Executor } from '../../../core/host/executor.ts';
import { openExecutor } from '../../../scripts/lib/executor.ts';
import { folderToDisk } from '../../../scripts/testhost.d/folder-disk.ts';
import { kitAt, type CrashKit } from '../../crash/support/place.ts';
import { createWorld } from '../../e2e/support/world.ts';

/** Where the stage's disk is in a test host, and what is on it. */
export const stage = {
  mountPoint: '/srv/stage',
  kit: '/srv/stage/kit',
  product: '/srv/stage/kit/product',
  home: '/srv/stage/home',
  programs: '/srv/stage/programs',
} as const;

const image = 'debian-bookworm';
const repository = join(import.meta.dirname, '..', '..', '..');
const programs = ['test/crash/inside.ts', 'test/crash/power.ts'];
/** Not in the bundle, see scripts/build.mjs. */
const nativePackages = ['better-sqlite3', 'fs-ext'];

/**
 * Makes the disk that a test host runs the product from: what is built, the crash suite's kit and programs, and a cache
 * with the default image, so that nothing is built or downloaded in there.
 * @param path of the ext4 file, with a journal
 * @param kit of the crash suite
 */
export const makeStage = async (path: string, kit: CrashKit): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'bgt-stage-'));
  try {
    await using exec = await openExecutor();
    const own = kitAt(join(folder, 'kit'));
    await mkdir(join(folder, 'kit'));
    for (const part of ['product', 'stub', 'preload', 'shim'] as const)
      await exec.run('cp', ['-R', '--', kit[part], own[part]]);
    await bringPackages(join(own.product, 'node_modules'), exec);
    await bringImage(join(folder, 'home', '.cache', 'banger'), exec);
    await build({
      absWorkingDir: repository,
      entryPoints: programs,
      outdir: join(folder, 'programs'),
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'warning',
    });
    const { signal } = new AbortController();
    await folderToDisk(folder, path, { exec, signal, journal: true });
  } finally {
    await rm(folder, { recursive: true });
  }
};

const bringPackages = async (modules: string, exec: Executor): Promise<void> => {
  await rm(modules); // copyProduct's link to all of them
  await mkdir(modules);
  for (const [name, folder] of await closure(nativePackages))
    await exec.run('cp', ['-R', '--', folder, join(modules, name)]);
};

/** The packages and all that they depend on, with their folders. */
const closure = async (names: readonly string[]): Promise<Map<string, string>> => {
  const found = new Map<string, string>();
  const modules = join(repository, 'node_modules');
  const add = async (name: string): Promise<void> => {
    if (found.has(name)) return;
    // By its folder: a package need not let others read its package.json.
    const manifest = join(modules, name, 'package.json');
    found.set(name, dirname(manifest));
    const { dependencies = {} } = JSON.parse(await readFile(manifest, 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    for (const each of Object.keys(dependencies)) await add(each);
  };
  for (const name of names) await add(name);
  return found;
};

/** @param cache gets the default image and its kernel, built where they are not */
export const bringImage = async (cache: string, exec: Executor): Promise<void> => {
  await using world = await createWorld();
  await world.ok(['image', 'build', image], { timeoutMs: 900_000 });
  const images = JSON.parse(await world.ok(['image', 'list', '--json'])) as readonly ImageInfo[];
  const built = images.find(({ name }) => name === image);
  const recipe = imageRecipes.find(({ name }) => name === image);
  if (built === undefined || built.id === null || recipe === undefined)
    throw new Error(`no image ${image}`);
  const { cacheDirectory } = resolvePaths(world.env);
  await mkdir(join(cache, 'images'), { recursive: true });
  for (const folder of ['kernels', join('images', built.id)]) {
    const from = join(cacheDirectory, folder);
    await exec.run('cp', ['-R', '--sparse=always', '--', from, join(cache, folder)]);
  }
  await pretendPackages(join('images', packagesKey(recipe)), cacheDirectory, cache);
};

/** An image that is built needs no more of them than their digest: an archive of its size will do. */
const pretendPackages = async (folder: string, from: string, to: string): Promise<void> => {
  await mkdir(join(to, folder));
  const manifest = 'manifest.json';
  const { files } = JSON.parse(await readFile(join(from, folder, manifest), 'utf8')) as {
    files: Record<string, number>;
  };
  for (const name of [manifest, ...Object.keys(files)]) {
    const copy = join(to, folder, name);
    if (name.endsWith('.tar')) {
      await writeFile(copy, '');
      await truncate(copy, files[name]);
    } else await copyFile(join(from, folder, name), copy);
  }
};
