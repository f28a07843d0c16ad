import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import {
  BangerError,
  bootstrapMode,
  type Executor,
  type OperationContext,
} from '../../core/plugin-api/index.ts';
import { contentId } from './content-id.ts';
import { initrdModules } from './modules.ts';
import type { KernelRecipe } from './recipe.ts';
import { extractVmlinux } from './vmlinux.ts';

/** What a built kernel's folder holds, beside `vmlinux`, `modules.tar` and the initrd's modules. */
export interface KernelFacts {
  /** Hash of all the files: two hosts that fetched the same package agree on it. */
  readonly id: string;
  readonly release: string;
  /** File names in the folder, in loading order. */
  readonly initrdModules: readonly string[];
}

export const vmlinuxFile = 'vmlinux';
export const modulesFile = 'modules.tar';
export const factsFile = 'kernel.json';

const buildTimeoutMs = 20 * 60_000;

/**
 * mmdebstrap(1), by way of timeout(1): that one passes a TERM on to the whole process group, whereas
 * mmdebstrap lets apt and dpkg come to their end first, and a cancelled start would wait for them.
 */
const fetchPackage = async (
  recipe: KernelRecipe,
  archive: string,
  exec: Executor,
  operation: OperationContext,
): Promise<void> => {
  const { signal } = operation;
  const { mode, privileged } = await bootstrapMode(exec);
  await exec.run(
    'timeout',
    [
      String(buildTimeoutMs / 1000),
      'mmdebstrap',
      `--mode=${mode}`,
      '--variant=extract',
      `--include=${recipe.package}`,
      recipe.suite,
      archive,
    ],
    {
      privileged,
      signal,
      timeoutMs: buildTimeoutMs,
      onLine: (line) => {
        operation.progress({ text: `kernel ${recipe.name}: ${line.replace(/^I: /, '')}` });
      },
    },
  );
  if (privileged) {
    const { uid, gid } = userInfo();
    await exec.run('chown', ['--', `${uid}:${gid}`, archive], { privileged, signal });
  }
};

const walk = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/**
 * Fetches the package with mmdebstrap, which knows the distribution's archive on any Debian or Ubuntu
 * host (`extract` unpacks without installing), and takes out of it what a VM needs.
 */
export const buildKernel = async (
  recipe: KernelRecipe,
  folder: string,
  scratch: string,
  exec: Executor,
  operation: OperationContext,
): Promise<void> => {
  const { signal } = operation;
  await exec.require('mmdebstrap', 'tar', 'modinfo', 'depmod');
  const archive = join(scratch, 'package.tar');
  operation.progress({ text: `kernel ${recipe.name}: downloading ${recipe.package}` });
  await fetchPackage(recipe, archive, exec, operation);
  operation.progress({ text: `kernel ${recipe.name}: unpacking` });
  const tree = join(scratch, 'tree');
  await mkdir(tree);
  await exec.run(
    'tar',
    [
      '-xf',
      archive,
      '-C',
      tree,
      '--no-same-owner',
      '--wildcards',
      './boot/vmlinuz-*',
      './lib/modules/*',
    ],
    { signal, timeoutMs: buildTimeoutMs },
  );
  const [release, ...others] = await readdir(join(tree, 'lib', 'modules'));
  if (release === undefined || others.length > 0)
    throw new BangerError('IMAGE_BUILD_FAILED', `${recipe.package} brought no single kernel`);
  const modules = join(tree, 'lib', 'modules', release);
  // The package leaves this to its installation, which has not taken place.
  await exec.run('depmod', ['-b', tree, release], { signal, timeoutMs: 120_000 });
  await extractVmlinux(
    join(tree, 'boot', `vmlinuz-${release}`),
    join(folder, vmlinuxFile),
    scratch,
    exec,
    signal,
  );
  const builtIn = new Set(
    (await readFile(join(modules, 'modules.builtin'), 'utf8'))
      .split('\n')
      .map((path) => path.split('/').at(-1)?.replace(/\.ko$/, '').replaceAll('-', '_') ?? ''),
  );
  const files = (await walk(join(modules, 'kernel'))).filter((path) => /\.ko(\.\w+)?$/.test(path));
  const names: string[] = [];
  for (const path of await initrdModules(files, builtIn, exec, signal)) {
    const name = path.split('/').at(-1) ?? '';
    if (!name.endsWith('.ko'))
      throw new BangerError('IMAGE_BUILD_FAILED', `the kernel's modules are compressed: ${name}`);
    await copyFile(path, join(folder, name));
    names.push(name);
  }
  await exec.run(
    'tar',
    [
      '-cf',
      join(folder, modulesFile),
      // Nothing of this host or this hour gets into the archive, and so into the content id.
      '--format=gnu',
      '--sort=name',
      '--mtime=@0',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '-C',
      tree,
      `lib/modules/${release}`,
    ],
    { signal, timeoutMs: buildTimeoutMs },
  );
  const id = await contentId(folder, [vmlinuxFile, modulesFile, ...names]);
  const facts: KernelFacts = { id, release, initrdModules: names };
  await writeFile(join(folder, factsFile), JSON.stringify(facts));
};
