import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Executor } from '../../core/host/executor.ts';
import { openExecutor } from '../lib/executor.ts';

export interface Timed {
  readonly ms: number;
  readonly stdout: string;
}

/** A daemon with a state directory of its own, run from a copy of the build. */
export class World {
  readonly folder: string;
  readonly exec: Executor & AsyncDisposable;
  readonly #env: NodeJS.ProcessEnv;
  readonly #signal: AbortSignal;

  private constructor(folder: string, exec: Executor & AsyncDisposable, signal: AbortSignal) {
    this.folder = folder;
    this.exec = exec;
    this.#signal = signal;
    this.#env = {
      ...process.env,
      BANGER_STATE_DIR: this.stateDirectory,
      BANGER_RUNTIME_DIR: join(folder, 'r'),
      BANGER_CONFIG: join(folder, 'c', 'config.toml'),
    };
  }

  /** @param root the repository, built */
  static async create(root: string, signal: AbortSignal, trace: boolean): Promise<World> {
    // Short: a VM's sockets lie below it, and their paths have at most 107 bytes.
    const folder = await mkdtemp(join(tmpdir(), 'bb-'));
    // A build meanwhile would change the build id, and so replace the daemon.
    for (const name of ['bin', 'dist', 'package.json'])
      await cp(join(root, name), join(folder, 'p', name), { recursive: true });
    await symlink(join(root, 'node_modules'), join(folder, 'p', 'node_modules'));
    await mkdir(join(folder, 'c'));
    await writeFile(
      join(folder, 'c', 'config.toml'),
      trace ? '[log]\nlevel = "debug"\n' : '# all defaults\n',
    );
    const exec = await openExecutor();
    return new World(folder, exec, signal);
  }

  get stateDirectory(): string {
    return join(this.folder, 's');
  }

  /** A command as a whole process, from exec to exit. @throws Error with its stderr where it fails */
  async banger(...args: readonly string[]): Promise<Timed> {
    return this.#run(join(this.folder, 'p', 'bin', 'banger'), args, this.#signal);
  }

  node(...args: readonly string[]): Promise<Timed> {
    return this.#run(process.execPath, args, this.#signal);
  }

  async #run(file: string, args: readonly string[], signal?: AbortSignal): Promise<Timed> {
    signal?.throwIfAborted();
    const started = performance.now();
    const child = spawn(file, args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
      });
    }
    // Of the process itself: pipes may be open longer.
    const ended = new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => {
        resolve(performance.now() - started);
      });
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    const ms = await ended;
    await closed;
    if (child.exitCode !== 0)
      throw new Error(`${[file, ...args].join(' ')}: ${String(child.exitCode)}\n${text.stderr}`);
    return { ms, stdout: text.stdout };
  }

  /** Deletes what VMs there are, and ends the daemon; both are no-ops the second time. */
  async stop(): Promise<void> {
    const banger = join(this.folder, 'p', 'bin', 'banger');
    const { stdout } = await this.#run(banger, ['vm', 'list', '-q']);
    const ids = stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.#run(banger, ['vm', 'delete', '--force', ...ids]);
    await this.#run(banger, ['daemon', 'stop']);
  }

  async destroy(): Promise<void> {
    await this.exec[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
