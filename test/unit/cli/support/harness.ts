import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { bundleCli, testBuild } from './bundle.ts';
import { FakeDaemon } from './fake-daemon.ts';

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type CliProcess = ChildProcessByStdio<Writable, Readable, Readable>;

/** One folder with the bundled CLI, and one daemon's folders in it. */
export class Harness {
  readonly directory = mkdtempSync(join(tmpdir(), 'bgr-cli-'));
  readonly socketPath = join(this.directory, 'run', 'banger.sock');
  daemon = new FakeDaemon(this.socketPath, testBuild);
  cli = '';

  async prepare(): Promise<void> {
    this.cli = await bundleCli(this.directory);
  }

  /** A daemon in this process, whose state a test can look at. */
  async serve(): Promise<FakeDaemon> {
    this.daemon.close();
    this.daemon = new FakeDaemon(this.socketPath, testBuild);
    await this.daemon.listen();
    return this.daemon;
  }

  cleanUp(): void {
    this.daemon.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  env(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      HOME: this.directory,
      BANGER_RUNTIME_DIR: join(this.directory, 'run'),
      BANGER_STATE_DIR: join(this.directory, 'state'),
      ...extra,
    };
  }

  start(args: readonly string[], extra: Record<string, string> = {}): CliProcess {
    return spawn(process.execPath, [this.cli, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: this.env(extra),
    });
  }

  async run(
    args: readonly string[],
    options: { input?: string; env?: Record<string, string> } = {},
  ): Promise<Finished> {
    const child = this.start(args, options.env);
    child.stdin.on('error', () => undefined).end(options.input ?? '');
    return finished(child);
  }

  /**
   * In a terminal of its own: `input` is typed once `after` has been printed. What `stty` says of the
   * terminal when the CLI has ended is in the answer.
   */
  async runInTerminal(
    args: readonly string[],
    typed: readonly (readonly [after: string, keys: string])[],
  ): Promise<Finished & { terminal: string }> {
    const after = join(this.directory, 'stty');
    const child = spawn(
      'python3',
      [
        join(import.meta.dirname, 'in-terminal.py'),
        JSON.stringify(typed),
        after,
        process.execPath,
        this.cli,
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: this.env({ TERM: 'xterm' }) },
    );
    return { ...(await finished(child)), terminal: readFileSync(after, 'utf8') };
  }

  /** The pid of a daemon in a process of its own. */
  async startForeign(buildId: string): Promise<number> {
    const child = spawn(process.execPath, [join(this.directory, 'daemon.js')], {
      env: this.env({ FAKE_BUILD: buildId }),
      stdio: 'ignore',
    });
    await until(async () => (await this.run(['daemon', 'status', '-q'])).code === 0);
    return child.pid ?? 0;
  }
}

export const finished = async (
  child: ChildProcessByStdio<Writable | null, Readable, Readable>,
): Promise<Finished> => {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return {
    code,
    signal,
    stdout: Buffer.concat(out).toString('utf8'),
    stderr: Buffer.concat(err).toString('utf8'),
  };
};

/** Polls a condition. @throws Error past ten seconds */
export const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  const end = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never: ${condition.toString()}`);
    await delay(10);
  }
};
