import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { copyProduct } from '../../e2e/support/product.ts';
import { pollUntil } from '../../e2e/support/poll.ts';
import { endProcesses, tracesOf } from '../../e2e/support/leftovers.ts';
import { imageBuild } from './actions.ts';
import { CrashDaemon } from './daemon.ts';
import { newToken } from '../../../core/token.ts';
import { isCommand, parsePoints, type Failure, type KillPhase, type Point } from './points.ts';

const repository = join(import.meta.dirname, '..', '..', '..');

/** Host commands that get a shim; a command without one is a failure of the suite, which names it. */
const tools = [
  'chown',
  'cp',
  'debugfs',
  'dmsetup',
  'e2fsck',
  'ip',
  'iptables-restore',
  'iptables-save',
  'losetup',
  'mkfs.ext4',
  'qemu-img',
  'qemu-system-x86_64',
  'resize2fs',
  'rm',
  'ssh-keygen',
  'sysctl',
  'tar',
  'timeout',
  'tune2fs',
];

export interface CrashWorldOptions {
  readonly rootfs: string;
  /** Where the state is, for a file system of one's own; default: a temporary folder. */
  readonly parent?: string;
  /** The real VMM instead of the stub. */
  readonly guests?: boolean;
  /** A cache of its own, in which no image is, and a bootstrap of a few files. */
  readonly tinyImages?: boolean;
}

const forwardingOf = (device: string): string => `/proc/sys/net/ipv4/conf/${device}/forwarding`;

/** What of a daemon may be there while no VM runs: itself, and what it keeps for the next VM. */
const isIdle = (line: string, daemonPid: number | undefined): boolean =>
  line.startsWith(`process ${String(daemonPid)} `) ||
  /^link bgr-\w+br$/.test(line) ||
  (line.startsWith('iptables-save') && line.includes(' forwarding ')) ||
  line.startsWith('sysctl ') ||
  (line.startsWith('socket ') && line.endsWith('/banger.sock'));

/** One state directory that daemons die over, one after the other. */
export class CrashWorld {
  readonly root: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #product: string;
  #daemon: CrashDaemon | undefined;
  #armed = 0;
  /** Files below the state directory while no VM is there. */
  #baseline: ReadonlySet<string> = new Set();

  /** The way outside for this world's guests: of two that shared one, each would see what the other does. */
  readonly #uplink: string;

  private constructor(
    root: string,
    uplink: string,
    product: string,
    env: Readonly<Record<string, string>>,
  ) {
    this.root = root;
    this.#uplink = uplink;
    this.#product = product;
    this.#env = env;
  }

  static async create(options: CrashWorldOptions): Promise<CrashWorld> {
    const { rootfs, parent, guests, tinyImages } = options;
    // A kernel that was built once is all that a tiny image takes from the user's cache.
    if (tinyImages === true && !existsSync(join(userCache(), 'kernels')))
      await (await CrashWorld.create({ rootfs })).dispose();
    const root = await realpath(await mkdtemp(join(parent ?? tmpdir(), 'bgc-')));
    const product = join(root, 'p');
    const control = join(root, 'k');
    const shims = join(control, 'shims');
    await copyProduct(product);
    await mkdir(shims, { recursive: true });
    await build({
      entryPoints: [join(import.meta.dirname, 'preload.ts')],
      outfile: join(control, 'preload.mjs'),
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'warning',
    });
    await copyFile(join(import.meta.dirname, 'shim.sh'), join(shims, 'shim'));
    for (const tool of tools) await symlink('shim', join(shims, tool));
    const realPath = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;
    const bin = join(root, 'b');
    await mkdir(bin);
    if (guests !== true) await buildStub(join(bin, 'qemu-system-x86_64'));
    if (tinyImages === true) await makeTinyImages(root, bin);
    const uplink = `bgc${newToken(8)}`;
    await promisify(execFile)('ip', ['link', 'add', 'dev', uplink, 'up', 'type', 'bridge']);
    await writeFile(forwardingOf(uplink), '0');
    const config = join(root, 'config.toml');
    await writeFile(
      config,
      '[log]\nlevel = "debug"\n[defaults]\nvcpus = 1\nmemory = "256M"\ndisk_size = "1G"\n' +
        // KVM is the stub's to ignore; it saves the measurement that emulation needs.
        `[qemu]\nacceleration = "${guests === true ? 'auto' : 'kvm'}"\n[rootfs]\ndriver = "${rootfs}"\n` +
        `[nat]\nuplinks = ["${uplink}"]\n`,
    );
    const world = new CrashWorld(root, uplink, product, {
      ...(process.env['HOME'] === undefined ? {} : { HOME: process.env['HOME'] }),
      PATH: `${shims}:${bin}:${realPath}`,
      ...(tinyImages === true ? { XDG_CACHE_HOME: join(root, 'c') } : {}),
      BANGER_CONFIG: config,
      BANGER_STATE_DIR: join(root, 's'),
      BANGER_RUNTIME_DIR: join(root, 'r'),
      BANGER_CRASH_CONTROL: control,
    });
    // The image, the client key and whatever else is made once.
    if (tinyImages === true) await imageBuild.goOn?.(await world.daemon());
    else await world.withVm();
    world.#baseline = new Set(await world.#files());
    await world.stop();
    return world;
  }

  get #control(): string {
    return join(this.root, 'k');
  }
  get #state(): string {
    return join(this.root, 's');
  }

  /** The daemon that runs, or a new one, recovered. */
  async daemon(): Promise<CrashDaemon> {
    if (this.#daemon === undefined || this.#daemon.hasEnded) {
      this.#daemon = await this.#start();
      await this.#daemon.recovered();
    }
    return this.#daemon;
  }

  #start(): Promise<CrashDaemon> {
    return CrashDaemon.start({
      product: this.#product,
      socketPath: join(this.root, 'r', 'banger.sock'),
      preload: join(this.#control, 'preload.mjs'),
      env: this.#env,
      logPath: join(this.root, 'daemon.out'),
    });
  }

  async withVm(): Promise<void> {
    const daemon = await this.daemon();
    await daemon.mustOperate('POST', '/v1/vms', { name: 'v' });
    await daemon.mustOperate('DELETE', '/v1/vms/v?force=true');
  }

  async #arm(what: Readonly<Record<string, unknown>>): Promise<string> {
    const id = String(++this.#armed);
    for (const name of ['reached', 'shims/.go', 'shims/.held'])
      await rm(join(this.#control, name), { force: true });
    await writeFile(join(this.#control, 'arm.json'), JSON.stringify({ id, ...what }));
    return id;
  }

  async #disarm(): Promise<void> {
    await rm(join(this.#control, 'arm.json'), { force: true });
    for (const tool of tools)
      await rm(join(this.#control, 'shims', `.act-${tool}`), { force: true });
  }

  async #wasReached(id: string): Promise<boolean> {
    const reached = await readFile(join(this.#control, 'reached'), 'utf8').catch(absent);
    return reached === id;
  }

  /** All the points of an action, each once. */
  async record(act: (daemon: CrashDaemon) => Promise<void>): Promise<Point[]> {
    const path = join(this.#control, 'points');
    await rm(path, { force: true });
    const daemon = await this.daemon();
    await this.#arm({ mode: 'record' });
    await act(daemon);
    await this.#disarm();
    const points = parsePoints((await readFile(path, 'utf8').catch(absent)) ?? '');
    const missing = points.filter(
      (point) => isCommand(point) && !tools.includes(point.name.slice('command/'.length)),
    );
    if (missing.length > 0) throw new Error(`no shim: ${missing.map(({ name }) => name).join()}`);
    return points;
  }

  /**
   * Kills the daemon at the point and starts the next one. @returns false where the point did not come
   */
  async kill(
    act: (daemon: CrashDaemon) => Promise<unknown>,
    point: Point,
    phase: KillPhase,
  ): Promise<boolean> {
    const daemon = await this.daemon();
    const id = await this.#arm({ mode: 'kill', point: point.name, nth: point.nth, phase });
    // Cut off in the middle, or refused: the daemon is dead.
    const acting = act(daemon).catch((error: unknown) => error);
    await Promise.race([daemon.ended, acting]);
    if (!(await this.#wasReached(id))) {
      await acting;
      await this.#disarm();
      return false;
    }
    await daemon.ended;
    await acting;
    this.#daemon = await this.#start();
    if (phase === 'during' && isCommand(point) && !point.name.includes('qemu-system')) {
      const held = join(this.#control, 'shims', '.held');
      await pollUntil('the held helper', 10_000, async () =>
        (await readFile(held).catch(absent)) === undefined ? undefined : true,
      );
      const { recovery } = await this.#daemon.status();
      if (recovery.state !== 'waiting')
        throw new Error(`recovery is ${recovery.state} while a helper of the killed daemon lives`);
      await writeFile(join(this.#control, 'shims', '.go'), '');
    }
    await this.#daemon.recovered();
    return true;
  }

  /** Makes the command fail once. @returns whether the point came */
  async fail(
    act: (daemon: CrashDaemon) => Promise<unknown>,
    point: Point,
    how: Failure,
  ): Promise<boolean> {
    const daemon = await this.daemon();
    const id = await this.#arm({ mode: 'fail', point: point.name, nth: point.nth, how });
    await act(daemon);
    const reached = await this.#wasReached(id);
    await this.#disarm();
    return reached;
  }

  /**
   * What should not be there now: leaks by the daemon's own survey, objects on the host that no running VM
   * accounts for, a record that is neither stopped nor healthy.
   * @param mayHaveClaims an operation has failed and said so: what it could not undo is claimed still
   */
  async problems(mayHaveClaims = false): Promise<string[]> {
    const daemon = await this.daemon();
    const vm = await daemon.vm('v');
    const found = (await daemon.leaks()).leaks.map(
      ({ kind, capability, what, detail }) => `${kind} ${capability}: ${what}: ${detail}`,
    );
    if (vm !== undefined && vm.state !== 'running' && vm.state !== 'stopped')
      found.push(`VM is ${vm.state}`);
    if (vm?.state === 'running' && vm.conditions.length > 0)
      found.push(`VM runs, but is ${JSON.stringify(vm.conditions)}`);
    if (vm?.state !== 'running' && !mayHaveClaims) {
      const traces = await tracesOf({ instance: await this.#instance(), folders: [this.root] });
      found.push(...traces.filter((line) => !isIdle(line, daemon.pid)));
    }
    return found;
  }

  /** Goes on from whatever record there is, deletes it, and says what is left then. */
  async finish(goOn?: (daemon: CrashDaemon) => Promise<void>): Promise<string[]> {
    const daemon = await this.daemon();
    const vm = await daemon.vm('v');
    const found: string[] = [];
    const attempt = async (method: string, path: string): Promise<void> => {
      await daemon.mustOperate(method, path).catch((error: unknown) => {
        found.push(error instanceof Error ? error.message : String(error));
      });
    };
    if (vm?.state === 'stopped') await attempt('POST', '/v1/vms/v/start');
    if (vm !== undefined) await attempt('DELETE', '/v1/vms/v?force=true');
    if (goOn !== undefined) {
      await goOn(daemon).catch((error: unknown) => {
        found.push(error instanceof Error ? error.message : String(error));
      });
    }
    found.push(...(await this.problems()));
    const files = (await this.#files()).filter((path) => !this.#baseline.has(path));
    return [...found, ...files.map((path) => `file ${path}`)];
  }

  /** Stops the daemon in order. @returns what is on the host then */
  async stop(): Promise<string[]> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon?.hasEnded === false) await daemon.stop();
    return this.#left();
  }

  async #left(): Promise<string[]> {
    const traces = await tracesOf({ instance: await this.#instance(), folders: [this.root] });
    const isForwarding = (await readFile(forwardingOf(this.#uplink), 'utf8')).trim() !== '0';
    return [...traces, ...(isForwarding ? [`sysctl ${this.#uplink} forwards`] : [])];
  }

  async #instance(): Promise<string | undefined> {
    const stored = await readFile(join(this.#state, 'instance.json'), 'utf8').catch(absent);
    return stored === undefined ? undefined : (JSON.parse(stored) as { token: string }).token;
  }

  /** Of capabilities; logs and the database are the daemon's own. */
  async #files(): Promise<string[]> {
    const own = await readdir(this.#state, { recursive: true, withFileTypes: true });
    const cached = await readdir(join(this.root, 'c'), {
      recursive: true,
      withFileTypes: true,
    }).catch(absent);
    return [...own.filter(({ parentPath }) => parentPath !== this.#state), ...(cached ?? [])]
      .map(({ parentPath, name }) => join(parentPath, name).slice(this.root.length + 1))
      .filter((path) => !/^s\/backups\/|\.(?:log|lock)$/.test(path));
  }

  /** Breaks the product: the cleanup of that capability does nothing. @returns what mends it again */
  async sabotage(capability: string): Promise<() => Promise<void>> {
    const path = join(this.#product, 'dist', 'daemon.js');
    const code = await readFile(path, 'utf8');
    const call = 'await teardown.cleanup(claim, member.host);';
    if (code.split(call).length !== 2) throw new Error(`not once in ${path}: ${call}`);
    const skip = `if (claim.capability !== ${JSON.stringify(capability)}) ${call}`;
    await this.stop();
    await writeFile(path, code.replace(call, skip));
    return async () => {
      await this.stop();
      await writeFile(path, code);
    };
  }

  /** Whatever a failed case has left goes, so that it disturbs no other. */
  async dispose(): Promise<void> {
    await this.#disarm();
    await writeFile(join(this.#control, 'shims', '.go'), '');
    this.#daemon?.kill();
    await this.#daemon?.ended;
    this.#daemon = undefined;
    if ((await this.#left()).length > 0) {
      const daemon = await this.daemon();
      await daemon.operate('DELETE', '/v1/vms/v?force=true').catch((error: unknown) => error);
      await daemon.fixLeaks();
      await this.stop();
    }
    const left = await this.#left();
    endProcesses(left);
    await promisify(execFile)('ip', ['link', 'delete', 'dev', this.#uplink]);
    await rm(this.root, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`left on the host:\n${left.join('\n')}`);
  }
}

const userCache = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'banger');

/** Two blocks of zeros end an archive: tar(5). */
const emptyTar = Buffer.alloc(1024);

const glob = async (folder: string, name: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).flatMap((path) =>
    basename(path) === name ? [join(folder, path)] : [],
  );

/** A bootstrap that takes no minute: the rest of an image's build is as it always is. */
const makeTinyImages = async (root: string, bin: string): Promise<void> => {
  await mkdir(join(root, 'c', 'banger'), { recursive: true });
  const kernels = join(root, 'c', 'banger', 'kernels');
  await cp(join(userCache(), 'kernels'), kernels, { recursive: true });
  for (const manifest of await glob(kernels, 'manifest.json')) {
    await writeFile(join(manifest, '..', 'modules.tar'), emptyTar);
    const { files } = JSON.parse(await readFile(manifest, 'utf8')) as { files: object };
    const sizes = { ...files, 'modules.tar': emptyTar.length };
    await writeFile(manifest, JSON.stringify({ files: sizes }));
  }
  const tree = join(root, 't');
  for (const folder of [
    'root',
    'etc/default',
    'etc/ssh/sshd_config.d',
    'usr/lib/modules',
    'usr/sbin',
  ])
    await mkdir(join(tree, folder), { recursive: true });
  await symlink('usr/lib', join(tree, 'lib'));
  await writeFile(join(tree, 'etc', 'hostname'), 'tiny\n');
  const script = `#!/bin/sh\nfor last; do :; done\nexec tar -cf "$last" -C ${tree} .\n`;
  await writeFile(join(bin, 'mmdebstrap'), script, { mode: 0o755 });
};

const buildStub = async (path: string): Promise<void> => {
  const agent = join(repository, 'capabilities', 'vsock-agent', 'guest');
  await promisify(execFile)('cc', [
    '-std=gnu11',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-D_GNU_SOURCE',
    `-I${agent}`,
    '-o',
    path,
    join(import.meta.dirname, '..', 'stub-vmm', 'stub-vmm.c'),
    join(agent, 'cobs.c'),
  ]);
};

const absent = (error: unknown): undefined => {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
};
