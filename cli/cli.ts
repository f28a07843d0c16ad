import { isatty } from 'node:tty';
import { resolvePaths, type Paths } from '../core/config/paths.ts';
import { buildId } from './build.ts';
import { DaemonClient } from './client/daemon-client.ts';

/** What every command is given: its surroundings and the way to the daemon. */
export class Cli {
  /** The words after `--`; undefined where there is no `--`. */
  readonly command: readonly string[] | undefined;
  /** Errors leave as JSON, and nothing but data and errors is said. */
  readonly isJson: boolean;
  /** Ids and errors only. */
  isQuiet = false;
  readonly env = process.env;
  exitCode = 0;
  readonly #outBroken = new AbortController();
  #paths: Paths | undefined;
  #client: DaemonClient | undefined;

  constructor(own: readonly string[], command: readonly string[] | undefined) {
    this.command = command;
    this.isJson = own.includes('--json');
  }

  /** Aborted when whoever reads our standard output is gone. */
  get outBroken(): AbortSignal {
    return this.#outBroken.signal;
  }

  noteBrokenOut(): void {
    this.#outBroken.abort();
  }

  get paths(): Paths {
    this.#paths ??= resolvePaths(this.env);
    return this.#paths;
  }

  /** Starts the daemon where none answers, and replaces one of another build. */
  get client(): DaemonClient {
    this.#client ??= new DaemonClient(this.paths.socketPath, buildId, {
      // Loaded when needed: the common call finds a daemon of our build.
      start: async () => {
        const { startDaemon } = await import('./daemon/start.ts');
        await startDaemon(this.paths, this.env);
      },
      replace: async (foreign) => {
        const { replaceDaemon } = await import('./daemon/replace.ts');
        await replaceDaemon(this, foreign);
      },
    });
    return this.#client;
  }

  /** By descriptor: the getter of process.stdin would open it. */
  get stdinIsTerminal(): boolean {
    return isatty(0);
  }

  get stdoutIsTerminal(): boolean {
    return isatty(1);
  }

  get stderrIsTerminal(): boolean {
    return isatty(2);
  }

  /** Data, and nothing else: what a script reads. */
  out(text: string): void {
    process.stdout.write(text);
  }

  json(value: unknown): void {
    this.out(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** Everything that is told to a person. */
  say(text: string): void {
    process.stderr.write(`${text}\n`);
  }
}
