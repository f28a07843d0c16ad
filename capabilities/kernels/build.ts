import { readdir, readFile, writeFile, copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  bootstrapMode,
  type Executor,
  type OperationContext,
} from '../../core/plugin-api/index.ts';
import { initrdModules } from './modules.ts';
import type { KernelRecipe } from './recipe.ts';
import { extractVmlinux } from './vmlinux.ts';

/** What a built kernel's folder holds, beside `vmlinux`, `modules.tar` and the initrd's modules. */
export interface KernelFacts {
  readonly release: string;
  /** File names in the folder, in loading order. */
  readonly initrdModules: readonly string[];
}

export const vmlinuxFile = 'vmlinux';
export const modulesFile = 'modules.tar';
export const factsFile = 'kernel.json';

const buildTimeoutMs = 20 * 60_000;

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
  await exec.require('mmdebstrap', 'tar', 'modinfo', 'depmod', 'strip');
  const archive = join(scratch, 'package.tar');
  operation.progress({ text: `kernel ${recipe.name}: downloading ${recipe.package}` });
  const { mode, privileged } = await bootstrapMode(exec);
  await exec.run(
    'mmdebstrap',
    [`--mode=${mode}`, '--variant=extract', `--include=${recipe.package}`, recipe.suite, archive],
    {
      privileged,
      signal,
      timeoutMs: buildTimeoutMs,
      onLine: (line) => {
        operation.progress({ text: `kernel ${recipe.name}: ${line.replace(/^I: /, '')}` });
      },
    },
  );
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
    // Debug information is most of a module; the initrd is read at each boot.
    await exec.run('strip', ['--strip-debug', join(folder, name)], { signal });
    names.push(name);
  }
  await exec.run(
    'tar',
    [
      '-cf',
      join(folder, modulesFile),
      '--owner=0',
      '--group=0',
      '-C',
      tree,
      `lib/modules/${release}`,
    ],
    { signal, timeoutMs: buildTimeoutMs },
  );
  const facts: KernelFacts = { release, initrdModules: names };
  await writeFile(join(folder, factsFile), JSON.stringify(facts));
};
