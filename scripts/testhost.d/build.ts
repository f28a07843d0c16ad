import { createHash } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { bootstrap } from '../../capabilities/images/mmdebstrap.ts';
import { createPackageProgress } from '../../capabilities/images/progress.ts';
import { buildKernel } from '../../capabilities/kernels/build.ts';
import { kernelRecipes } from '../../capabilities/kernels/recipe.ts';
import { resolvePaths } from '../../core/config/paths.ts';
import { removeFilesTree } from '../../core/host/bootstrap-mode.ts';
import { ensureCachedFolder } from '../../core/host/cached-folder.ts';
import type { Executor } from '../../core/host/executor.ts';
import { buildDisk } from './disk.ts';
import * as recipe from './recipe.ts';
import { buildTemplate, machineVersion } from './template.ts';
import { openExecutor } from '../lib/executor.ts';
import { operationOf } from './operation.ts';

/** Finished folders in the user's cache. */
export interface Built {
  readonly disk: string;
  readonly template: string;
}

export interface BuildOptions {
  readonly signal: AbortSignal;
  say(line: string): void;
}

export const cacheRoot = (): string => join(resolvePaths(process.env).cacheDirectory, 'testhost');

const hash = (...parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);

/** Names each step's folder by what goes into it. */
const keysOf = async (exec: Executor) => {
  const { packagesRecipe, builderVersion } = recipe;
  const [kernelRecipe] = kernelRecipes;
  if (kernelRecipe === undefined) throw new Error('no kernel recipe');
  const node = [process.version, (await stat(process.execPath)).size];
  const packages = hash('packages', packagesRecipe, builderVersion);
  const kernel = hash('kernel', kernelRecipe, builderVersion);
  // A bundle has a module's names in another order.
  const named = Object.entries(recipe).sort(([a], [b]) => a.localeCompare(b));
  const disk = hash('disk', named, packages, kernel, node, builderVersion);
  // A saved machine is QEMU's own format, and its clock counts the ticks of this CPU.
  const qemu = (await exec.run('qemu-system-x86_64', ['--version'])).stdout;
  const template = hash('template', disk, qemu, cpus()[0]?.model, machineVersion);
  return {
    kernelRecipe,
    packages: `packages-${packages}`,
    kernel: `kernel-${kernel}`,
    disk: `disk-${disk}`,
    template: `template-${template}`,
  };
};

/**
 * Makes what is missing of a test host, in steps: packages, kernel, disk, saved machine. An interrupted
 * build goes on with the step that it was at. Of several at once, one builds and the others wait.
 */
export const ensureBuilt = async ({ signal, say }: BuildOptions): Promise<Built> => {
  await using exec = await openExecutor();
  await exec.require('qemu-system-x86_64', 'qemu-img', 'setpriv');
  const root = cacheRoot();
  const keys = await keysOf(exec);
  const step = async (
    title: string,
    key: string,
    build: (folder: string, scratch: string) => Promise<void>,
  ): Promise<string> => {
    const started = performance.now();
    const { path, built } = await ensureCachedFolder(
      root,
      key,
      (folder, scratch) => {
        say(`${title}: building`);
        return build(folder, scratch);
      },
      {
        signal,
        removeTree: (tree) => removeFilesTree(exec, tree),
        onWait: () => {
          say(`${title}: waiting for whoever builds it already`);
        },
      },
    );
    if (built) say(`${title}: done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
    return path;
  };
  const sayOf = (title: string) => (line: string) => {
    say(`${title}: ${line}`);
  };

  const makeDisk = async (folder: string, scratch: string): Promise<void> => {
    const packages = await step('packages', keys.packages, async (target, temporary) => {
      const read = createPackageProgress();
      const downloads = `${root}/${keys.packages}.downloads`;
      await bootstrap(recipe.packagesRecipe, join(target, 'packages.tar'), {
        exec,
        signal,
        scratch: temporary,
        downloads,
        logPath: join(root, 'packages.log'),
        onLine: (line) => {
          const progress = read(line);
          if (progress !== undefined) say(`packages: ${progress.text}`);
        },
      });
      await removeFilesTree(exec, downloads);
    });
    const kernel = await step('kernel', keys.kernel, (target, temporary) =>
      buildKernel(keys.kernelRecipe, target, temporary, exec, operationOf('kernel', signal, say)),
    );
    const sources = { packages: join(packages, 'packages.tar'), kernel };
    await buildDisk(sources, folder, { exec, signal, scratch, say: sayOf('disk') });
  };

  await mkdir(root, { recursive: true });
  const disk = await step('disk', keys.disk, makeDisk);
  const template = await step('template', keys.template, (folder) =>
    buildTemplate(disk, folder, { exec, signal, say: sayOf('template') }),
  );
  return { disk, template };
};
