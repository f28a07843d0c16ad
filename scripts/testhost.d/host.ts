import { randomBytes } from 'node:crypto';
import { readFile, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ensureBuilt, type Built } from './build.ts';
import { clientKeyFile, hostKeyFile } from './disk.ts';
import { folderToDisk } from './folder-disk.ts';
import { sparePorts, sshPort, startMachine, type Machine } from './machine.ts';
import { createRunFolder } from './run-folder.ts';
import { Session, type Outcome, type RunOptions, type Streams } from './session.ts';
import { memoryFile, migrate, overlayFile, stateFile } from './template.ts';
import { openExecutor } from '../lib/executor.ts';

/** Where the folder that was brought in is. */
export const folderPath = '/srv/dir';

/** A file system that the host gets besides its own; what it writes there is gone with it. */
export interface HostDisk {
  /** A raw file, which is not written to. */
  readonly path: string;
  readonly mountPoint: string;
}

export interface TestHostOptions {
  /** Brought in at `folderPath`, as a copy. */
  readonly dir?: string;
  readonly disks?: readonly HostDisk[];
  /** For power cuts: what a guest flushes is on the disks, and what it does not is lost. */
  readonly durable?: boolean;
  readonly signal?: AbortSignal;
  /** Progress of the build, where the template is not there yet. */
  say?(line: string): void;
}

/** A disposable Debian machine: `await using host = await bootTestHost({ dir })`. */
export interface TestHost extends AsyncDisposable {
  /** Runs a command as root, in the folder that was brought in. Resolves whatever the exit code. */
  run(argv: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** The same where anything but exit code 0 is an error. @returns standard output, trimmed */
  ok(argv: readonly string[], options?: RunOptions): Promise<string>;
  /** The same on the given streams. @returns the exit code */
  stream(argv: readonly string[], streams: Streams, options?: RunOptions): Promise<number>;
  /** Ends it at this very moment. What was running in it is gone; `boot` starts it again. */
  powerCut(): Promise<void>;
  /** Boots the same disks anew, after a power cut. */
  boot(): Promise<void>;
  dispose(): Promise<void>;
}

interface Attached {
  readonly serial: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly mountPoint: string;
}

/** What of its console goes into an error. */
const consoleCharacters = 2000;
const restoreDeadlineMs = 60_000;
const bootDeadlineMs = 240_000;

export const bootTestHost = async (options: TestHostOptions = {}): Promise<TestHost> => {
  const { signal = new AbortController().signal, say = () => undefined, durable = false } = options;
  const built = await ensureBuilt({ signal, say });
  const folder = await createRunFolder();
  try {
    const attached = await prepareDisks(built, folder, options, signal);
    const host = new RunningHost({ built, folder, attached, durable, signal });
    await host.restore();
    return host;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
};

const rootOverlay = 'root.qcow2';

/** Everything is a copy-on-write layer in the run's folder. @returns the disks beside the root */
const prepareDisks = async (
  { template }: Built,
  folder: string,
  { dir, disks = [] }: TestHostOptions,
  signal: AbortSignal,
): Promise<Attached[]> => {
  await using exec = await openExecutor();
  const overlay = async (name: string, backing: string, format: string): Promise<string> => {
    const path = join(folder, name);
    const args = ['create', '-q', '-f', 'qcow2', '-F', format, '-b', resolve(backing), path];
    await exec.run('qemu-img', args, { signal });
    return path;
  };
  await overlay(rootOverlay, join(template, overlayFile), 'qcow2');
  await symlink(join(template, stateFile), join(folder, stateFile));
  const attached: Attached[] = [];
  if (dir !== undefined) {
    const path = join(folder, 'dir.raw');
    await folderToDisk(dir, path, { exec, signal, journal: false });
    attached.push({ serial: 'dir', path, format: 'raw', mountPoint: folderPath });
  }
  for (const [index, disk] of disks.entries()) {
    const serial = `disk${String(index)}`;
    const path = await overlay(`${serial}.qcow2`, disk.path, 'raw');
    attached.push({ serial, path, format: 'qcow2', mountPoint: disk.mountPoint });
  }
  if (attached.length > sparePorts) throw new Error(`at most ${String(sparePorts)} disks`);
  return attached;
};

interface Parts {
  readonly built: Built;
  readonly folder: string;
  readonly attached: readonly Attached[];
  readonly durable: boolean;
  readonly signal: AbortSignal;
}

class RunningHost implements TestHost {
  readonly #parts: Parts;
  #machine: Machine | undefined;
  #session: Session | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** From the template. */
  async restore(): Promise<void> {
    const { template } = this.#parts.built;
    const memory = { kind: 'clone', path: join(template, memoryFile) } as const;
    const machine = await this.#start(memory, ['-incoming', 'defer']);
    try {
      await migrate(machine.qmp, 'migrate-incoming');
      for (const [port, disk] of this.#parts.attached.entries()) {
        await machine.qmp.execute('blockdev-add', this.#blockdev(disk));
        await machine.qmp.execute('device_add', deviceOf(disk, port));
      }
      await machine.qmp.execute('cont');
      await this.#enter(machine, restoreDeadlineMs);
    } catch (error) {
      await this.powerCut();
      throw error;
    }
  }

  async boot(): Promise<void> {
    if (this.#machine !== undefined) throw new Error('it is up already');
    const more = this.#parts.attached.flatMap((disk, port) => [
      '-blockdev',
      JSON.stringify(this.#blockdev(disk)),
      '-device',
      JSON.stringify(deviceOf(disk, port)),
    ]);
    const machine = await this.#start({ kind: 'plain' }, more);
    try {
      await this.#enter(machine, bootDeadlineMs);
    } catch (error) {
      const said = await this.#console();
      await this.powerCut();
      throw new Error(`it does not boot:\n${said}`, { cause: error });
    }
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const session = this.#open();
    try {
      return await session.run(argv, { ...this.#where(), ...options });
    } catch (error) {
      // A kernel that hangs or panics says so there alone.
      const said = (await this.#console()).trim();
      const { message } = error as Error;
      throw new Error(said === '' ? message : `${message}\nits console:\n${said}`, {
        cause: error,
      });
    }
  }

  async ok(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv, options);
    if (code !== 0)
      throw new Error(`${argv.join(' ')}: exit code ${String(code)}\n${stdout}${stderr}`);
    return stdout.trim();
  }

  async stream(argv: readonly string[], streams: Streams, options: RunOptions = {}) {
    return this.#open().stream(argv, streams, { ...this.#where(), ...options });
  }

  async powerCut(): Promise<void> {
    await this.#machine?.kill();
    this.#session?.close();
    this.#machine = undefined;
    this.#session = undefined;
  }

  async dispose(): Promise<void> {
    await this.powerCut();
    await rm(this.#parts.folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #start(
    memory: Parameters<typeof startMachine>[0]['memory'],
    more: readonly string[],
  ): Promise<Machine> {
    const { built, folder, durable, signal } = this.#parts;
    const root = join(folder, rootOverlay);
    const options = { disk: built.disk, folder, root, memory, durable, signal };
    const machine = await startMachine(options, more);
    this.#machine = machine;
    // Whoever waits for a command in there is told, as the connection goes away.
    const kill = (): void => void machine.kill();
    signal.addEventListener('abort', kill, { once: true });
    void machine.exited.then(() => {
      signal.removeEventListener('abort', kill);
    });
    return machine;
  }

  async #enter(machine: Machine, deadlineMs: number): Promise<void> {
    const { built, signal, attached } = this.#parts;
    const ended = new AbortController();
    void machine.exited.then(() => {
      ended.abort(new Error('QEMU has ended'));
      this.#session?.close();
    });
    const session = await Session.open({
      port: await sshPort(machine.qmp),
      privateKey: await readFile(join(built.disk, clientKeyFile), 'utf8'),
      hostKey: await readFile(join(built.disk, hostKeyFile), 'utf8'),
      deadlineMs,
      signal: AbortSignal.any([signal, ended.signal]),
    });
    this.#session = session;
    const { code, stdout, stderr } = await session.run(['sh', '-c', settle(attached)]);
    if (code !== 0) throw new Error(`the test host is not ready: ${stdout}${stderr}`);
  }

  #blockdev({ serial, path, format }: Attached): Record<string, unknown> {
    const { durable } = this.#parts;
    return {
      'node-name': `${serial}0`,
      driver: format,
      // As of `cache=unsafe`, which asks no one to wait for the disk.
      cache: { 'no-flush': !durable, direct: false },
      file: { driver: 'file', filename: path, cache: { 'no-flush': !durable, direct: false } },
    };
  }

  /** The end of what it said. */
  async #console(): Promise<string> {
    const path = this.#machine?.console;
    return path === undefined ? '' : (await readFile(path, 'utf8')).slice(-consoleCharacters);
  }

  #where(): RunOptions {
    return this.#parts.attached.some(({ serial }) => serial === 'dir') ? { cwd: folderPath } : {};
  }

  #open(): Session {
    if (this.#session === undefined) throw new Error('the power is off');
    return this.#session;
  }
}

const deviceOf = ({ serial }: Attached, port: number): Record<string, unknown> => ({
  driver: 'virtio-blk-pci',
  id: serial,
  drive: `${serial}0`,
  serial,
  bus: `port${String(port)}`,
});

/**
 * The clock first: a saved machine has the time of its saving. Random numbers next, since all clones would
 * draw the same: random(4), RNDRESEEDCRNG is 0x5207. Then the disks, which the kernel finds in its own time.
 */
const settle = (attached: readonly Attached[]): string =>
  [
    'set -e',
    `date -s @${(Date.now() / 1000).toFixed(3)} >/dev/null`,
    `printf %s ${randomBytes(32).toString('hex')} >/dev/urandom`,
    `perl -e 'open(R, ">", "/dev/urandom") and ioctl(R, 0x5207, 0) or die $!'`,
    ...attached.flatMap(({ serial, mountPoint }) => [
      `tries=0; until [ -b /dev/disk/by-id/virtio-${serial} ]`,
      `do tries=$((tries+1)); [ $tries -lt 600 ] || { echo no ${serial}; exit 1; }; sleep 0.05; done`,
      `mkdir -p ${mountPoint}; mount -o noatime /dev/disk/by-id/virtio-${serial} ${mountPoint}`,
    ]),
  ].join('\n');
