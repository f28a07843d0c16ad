import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { VmDetails, VmSummary } from '../../../core/api/contract/types.ts';
import { ordinaryUser, type OrdinaryUser, type Outcome } from '../../support/ordinary-user.ts';
import { endProcesses, leftovers } from './leftovers.ts';
import { copyProduct } from './product.ts';
import { createWorld, smallVms } from './world.ts';

/** banger as an ordinary user has it: no variable of ours is set, all is in the user's own home. */
export interface UserWorld extends AsyncDisposable {
  readonly user: OrdinaryUser;
  readonly stateDirectory: string;
  readonly configPath: string;
  readonly socketPath: string;
  cli(...args: readonly string[]): Promise<Outcome>;
  /** @returns standard output, trimmed. @throws for an exit code that is not 0 */
  ok(...args: readonly string[]): Promise<string>;
  list(): Promise<VmSummary[]>;
  show(vm: string): Promise<VmDetails>;
  writeConfig(toml: string): Promise<void>;
}

const command = promisify(execFile);

export const createUserWorld = async (
  options: { readonly sudo?: boolean } = {},
): Promise<UserWorld> => {
  const user = await ordinaryUser(options);
  const stateDirectory = join(user.home, '.local/state/banger');
  const configPath = join(user.home, '.config/banger/config.toml');
  const product = join(user.home, 'product');
  const program = join(product, 'bin', 'banger');
  const own = async (path: string): Promise<void> => {
    await command('chown', ['-R', '--no-dereference', `${user.uid}:${user.uid}`, path]);
  };
  const cli = (...args: readonly string[]): Promise<Outcome> => user.run([program, ...args]);
  const ok = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await cli(...args);
    if (exitCode !== 0)
      throw new Error(`banger ${args.join(' ')}: exit code ${exitCode}\n${stdout}${stderr}`);
    return stdout.trim();
  };
  const list = async (): Promise<VmSummary[]> =>
    JSON.parse(await ok('vm', 'list', '--json')) as VmSummary[];

  const close = async (): Promise<void> => {
    if (!(await isThere(stateDirectory))) return;
    await writeFile(configPath, smallVms);
    const names = (await list()).map(({ name }) => name);
    if (names.length > 0) await ok('vm', 'delete', '--force', ...names);
    await ok('daemon', 'stop');
  };
  const dispose = async (): Promise<void> => {
    const failure = await close().catch((error: unknown) => error);
    const left = await leftovers({
      instance: await instanceOf(stateDirectory),
      folders: [user.home],
    });
    endProcesses(left);
    await user[Symbol.asyncDispose]();
    if (failure !== undefined || left.length > 0)
      throw new Error(`left on the host:\n${left.join('\n')}`, { cause: failure });
  };

  try {
    await copyProduct(product);
    // Where the repository is may be closed to others than root.
    await rm(join(product, 'node_modules'));
    await symlink(join(user.repository, 'node_modules'), join(product, 'node_modules'));
    await mkdir(join(user.home, '.config/banger'), { recursive: true });
    await writeFile(configPath, smallVms);
    await own(product);
    await own(join(user.home, '.config'));
  } catch (error) {
    await user[Symbol.asyncDispose]();
    throw error;
  }
  return {
    user,
    stateDirectory,
    configPath,
    socketPath: join(user.home, 'run/banger/banger.sock'),
    cli,
    ok,
    list,
    show: async (vm) => JSON.parse(await ok('vm', 'show', vm, '--json')) as VmDetails,
    writeConfig: (toml) => writeFile(configPath, toml),
    [Symbol.asyncDispose]: dispose,
  };
};

/**
 * Lets the user have what root's cache has of the default image, so that no test builds it twice.
 * @param wanted by its path in the cache, such as `images/packages-…`
 */
export const copyWarmCache = async (
  { user }: UserWorld,
  wanted: (folder: string) => boolean = () => true,
): Promise<void> => {
  await using world = await createWorld();
  await world.ok(['image', 'build', 'debian-bookworm'], { timeoutMs: 600_000 });
  const from = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'banger');
  const to = join(user.home, '.cache/banger');
  for (const kind of ['images', 'kernels']) {
    await mkdir(join(to, kind), { recursive: true });
    for (const folder of await foldersOf(join(world.stateDirectory, kind), join(from, kind))) {
      if (!wanted(join(kind, folder))) continue;
      const how = ['-a', '--sparse=always', '--reflink=auto', '--'];
      await command('cp', [...how, join(from, kind, folder), join(to, kind, folder)]);
    }
  }
  await command('chown', ['-R', `${user.uid}:${user.uid}`, join(user.home, '.cache')]);
};

/**
 * The finished folders of a cache that a state directory uses: those that its hard links lead to (all, where it
 * had to copy), and the steps before the last one, which nothing links to.
 */
const foldersOf = async (state: string, cache: string): Promise<string[]> => {
  const linked = new Set<bigint>();
  for (const folder of await readdir(state))
    for (const inode of await inodesOf(join(state, folder))) linked.add(inode);
  const finished: string[] = [];
  for (const entry of await readdir(cache, { withFileTypes: true }))
    if (entry.isDirectory() && (await isThere(join(cache, entry.name, 'manifest.json'))))
      finished.push(entry.name);
  const steps = finished.filter((name) => name.includes('-'));
  const whole = finished.filter((name) => !name.includes('-'));
  const used: string[] = [];
  for (const name of whole)
    if ((await inodesOf(join(cache, name))).some((inode) => linked.has(inode))) used.push(name);
  return [...steps, ...(used.length > 0 ? used : whole)];
};

const inodesOf = async (folder: string): Promise<bigint[]> => {
  const files = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  return Promise.all(
    files.map(async ({ name }) => (await stat(join(folder, name), { bigint: true })).ino),
  );
};

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    },
  );

const instanceOf = async (stateDirectory: string): Promise<string | undefined> => {
  const path = join(stateDirectory, 'instance.json');
  if (!(await isThere(path))) return undefined;
  return (JSON.parse(await readFile(path, 'utf8')) as { token: string }).token;
};

/**
 * /dev/net/tun with that mode until it is disposed of: 0666 is what udev gives it (50-udev-default.rules), where
 * there is a udev.
 */
export const tunMode = async (mode: number): Promise<AsyncDisposable> => {
  const path = '/dev/net/tun';
  const before = (await stat(path)).mode & 0o7777;
  await chmod(path, mode);
  return { [Symbol.asyncDispose]: () => chmod(path, before) };
};

export const withTunMode = async (mode: number, work: () => Promise<void>): Promise<void> => {
  const given = await tunMode(mode);
  try {
    await work();
  } finally {
    await given[Symbol.asyncDispose]();
  }
};

/** As the user who tests it would: some distributions forbid them by sysctl, others by AppArmor. */
export const hasUserNamespaces = async (): Promise<boolean> => {
  await using user = await ordinaryUser({ sudo: false });
  const { exitCode } = await user.run(['unshare', '--map-auto', '--map-root-user', 'true']);
  return exitCode === 0;
};
