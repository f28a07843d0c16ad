import { spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type {
  DaemonStatus,
  LeakReport,
  Operation,
  VmDetails,
} from '../../../core/api/contract/types.ts';
import { daemonNodeFlags } from '../../../cli/daemon/node-flags.ts';
import { pollUntil } from '../../e2e/support/poll.ts';

export interface DaemonPlace {
  /** Where dist/ is. */
  readonly product: string;
  readonly socketPath: string;
  /** A module that Node loads first. */
  readonly preload: string;
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
  /** Between two questions to a daemon that is not there yet, ms. */
  readonly pollMs: number;
  /** A command before it, by which it sees another host; each becomes the next, so that the pid is the daemon's. */
  readonly seeing?: readonly [string, ...string[]];
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const deadlineMs = 60_000;

/** The daemon has gone in the middle of a call. */
export class Cut extends Error {}

/** One process of the daemon under test, spoken to by its socket alone. */
export class CrashDaemon {
  readonly #place: DaemonPlace;
  readonly pid: number;
  readonly ended: Promise<void>;
  #hasEnded = false;

  private constructor(place: DaemonPlace, pid: number, ended: Promise<void>) {
    this.#place = place;
    this.pid = pid;
    this.ended = ended.then(() => {
      this.#hasEnded = true;
    });
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Returns once the socket answers. */
  static async start(place: DaemonPlace): Promise<CrashDaemon> {
    const log = openSync(place.logPath, 'a');
    const [file, ...args] = [
      ...(place.seeing ?? []),
      process.execPath,
      ...daemonNodeFlags,
      '--import',
      place.preload,
      join(place.product, 'dist', 'daemon.js'),
    ];
    const child = spawn(file, args, {
      cwd: '/',
      env: place.env,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const daemon = new CrashDaemon(place, child.pid ?? -1, ended);
    await pollUntil(
      `a daemon that answers (see ${place.logPath})`,
      deadlineMs,
      () => {
        if (daemon.#hasEnded) throw new Error(`the daemon ended at once; see ${place.logPath}`);
        return daemon.call('GET', '/v1/daemon').catch(notYet);
      },
      place.pollMs,
    );
    return daemon;
  }

  /** @throws Cut where it goes away meanwhile */
  call(method: string, path: string, body?: unknown): Promise<Answer> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
    return new Promise((resolve, reject) => {
      const cut = (error: unknown): void => {
        reject(new Cut(`${method} ${path}: ${String(error)}`));
      };
      request({ socketPath: this.#place.socketPath, method, path, agent: false, headers })
        .once('error', cut)
        .once('response', (response) => {
          text(response).then((answer) => {
            const isJson = response.headers['content-type']?.includes('json') === true;
            const parsed: unknown = isJson ? JSON.parse(answer) : answer;
            resolve({ status: response.statusCode ?? 0, body: parsed });
          }, cut);
        })
        .end(payload);
    });
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.call(method, path, body);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body as T;
  }

  /** Posts and waits for the operation's end, where one begins. @returns undefined where none did */
  async operate(method: string, path: string, body?: unknown): Promise<Operation | undefined> {
    const accepted = await this.#json<{ operation?: Operation }>(method, path, body);
    const id = accepted.operation?.id;
    if (id === undefined) return undefined;
    // Its events are one answer, which ends with the operation.
    await this.call('GET', `/v1/operations/${id}/events`);
    return this.#json<Operation>('GET', `/v1/operations/${id}`);
  }

  /** The same where anything but success is the suite's failure. */
  async mustOperate(method: string, path: string, body?: unknown): Promise<void> {
    const operation = await this.operate(method, path, body);
    if (operation !== undefined && operation.state !== 'done')
      throw new Error(`${method} ${path}: ${JSON.stringify(operation.error)}`);
  }

  status(): Promise<DaemonStatus> {
    return this.#json('GET', '/v1/daemon');
  }

  leaks(): Promise<LeakReport> {
    return this.#json('GET', '/v1/leaks');
  }

  /** `doctor --leaks --fix` */
  fixLeaks(): Promise<LeakReport> {
    return this.#json('POST', '/v1/leaks/fix', {});
  }

  async vm(name: string): Promise<VmDetails | undefined> {
    const answer = await this.call('GET', `/v1/vms/${name}`);
    if (answer.status === 404) return undefined;
    if (answer.status >= 400) throw new Error(JSON.stringify(answer.body));
    return answer.body as VmDetails;
  }

  /** Returns when recovery, and what it has begun, is through. */
  async recovered(): Promise<void> {
    await pollUntil(
      'the end of the recovery',
      deadlineMs,
      async () => {
        const { recovery, operations } = await this.status();
        return recovery.state === 'done' && operations.length === 0 ? true : undefined;
      },
      this.#place.pollMs,
    );
  }

  /** In order; returns when the process is gone. */
  async stop(): Promise<void> {
    await this.call('POST', '/v1/daemon/stop', {});
    await this.ended;
  }

  kill(): void {
    if (!this.#hasEnded) process.kill(this.pid, 'SIGKILL');
  }
}

const notYet = (error: unknown): undefined => {
  if (error instanceof Cut) return undefined;
  throw error;
};
