import { basename } from 'node:path';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';

/**
 * What the guest's init cannot do without: disks and network over virtio-mmio, and the agent's channel of either kind. And
 * the balloon's driver, by which a guest of whatever init gives the host back what memory it has freed.
 */
const wanted = [
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'vmw_vsock_virtio_transport',
  'virtio_balloon',
];

/** `virtio-blk.ko.xz` and `virtio_blk` are the same module: the kernel takes - and _ as one. */
export const moduleName = (path: string): string =>
  basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

/**
 * The modules to load, dependencies first.
 * @param dependsOn what `modinfo -F depends` says of a module
 * @throws BangerError KERNEL_UNKNOWN when one is neither there nor built in, or needs itself
 */
export const loadOrder = (
  names: readonly string[],
  has: (name: string) => boolean,
  isBuiltIn: (name: string) => boolean,
  dependsOn: (name: string) => readonly string[],
): string[] => {
  const order = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (order.has(name) || isBuiltIn(name)) return;
    if (!has(name)) throw new BangerError('KERNEL_UNKNOWN', `the kernel has no module '${name}'`);
    if (path.includes(name)) {
      const cycle = [...path, name].join(' → ');
      throw new BangerError('KERNEL_UNKNOWN', `the kernel's modules need each other: ${cycle}`);
    }
    for (const dependency of dependsOn(name))
      visit(dependency.replaceAll('-', '_'), [...path, name]);
    order.add(name);
  };
  for (const name of names) visit(name, []);
  return [...order];
};

/** Paths of the modules for the initrd, in loading order, out of all module files of a kernel. */
export const initrdModules = async (
  files: readonly string[],
  builtIn: ReadonlySet<string>,
  exec: Executor,
  signal: AbortSignal,
): Promise<string[]> => {
  const byName = new Map(files.map((path) => [moduleName(path), path]));
  const depends = new Map<string, readonly string[]>();
  // Breadth first, one modinfo a round: a module's dependencies are known only once it was read.
  for (let round = wanted.filter((name) => byName.has(name)); round.length > 0;) {
    const paths = round.map((name) => byName.get(name) ?? '');
    const { stdout } = await exec.run('modinfo', ['-F', 'depends', ...paths], { signal });
    const lines = stdout.split('\n');
    round.forEach((name, index) => {
      depends.set(
        name,
        (lines[index] ?? '').split(',').filter((part) => part !== ''),
      );
    });
    round = [
      ...new Set([...depends.values()].flat().map((name) => name.replaceAll('-', '_'))),
    ].filter((name) => byName.has(name) && !depends.has(name));
  }
  const order = loadOrder(
    wanted,
    (name) => byName.has(name),
    (name) => builtIn.has(name),
    (name) => depends.get(name) ?? [],
  );
  return order.map((name) => byName.get(name) ?? '');
};
