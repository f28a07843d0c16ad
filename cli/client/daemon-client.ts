import { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { execHeader, execUpgrade } from '../../core/api/contract/exec-frames.ts';
import type { ExecRequest } from '../../core/api/contract/types.ts';
import {
  assertOk,
  explain,
  isCut,
  isNoDaemon,
  openCall,
  readJson,
  upgradeCall,
  type Call,
} from './call.ts';

/** The daemon that answered 421: built from other code than this client. */
export interface ForeignDaemon {
  readonly buildId: string;
  readonly pid: number;
}

interface DaemonKeeper {
  start(): Promise<void>;
  replace(foreign: ForeignDaemon): Promise<void>;
}

/** Two clients that replace each other's daemon would go on for ever. */
const maxAttempts = 4;

export class DaemonClient {
  readonly #socketPath: string;
  readonly #buildId: string;
  readonly #keeper: DaemonKeeper;

  constructor(socketPath: string, buildId: string, keeper: DaemonKeeper) {
    this.#socketPath = socketPath;
    this.#buildId = buildId;
    this.#keeper = keeper;
  }

  /** An answer whose body is a stream. @throws CliError */
  async open(call: Call): Promise<IncomingMessage> {
    const response = await this.#reach(call, () => openCall(this.#socketPath, this.#buildId, call));
    await assertOk(response);
    return response;
  }

  /** The contract's type for that call is the caller's to name: the daemon is of our own build. */
  async get<T>(path: string): Promise<T> {
    return (await readJson(await this.open({ method: 'GET', path }))) as T;
  }

  async post<T>(path: string, body: unknown = {}): Promise<T> {
    return (await readJson(await this.open({ method: 'POST', path, body }))) as T;
  }

  async patch<T>(path: string, body: unknown): Promise<T> {
    return (await readJson(await this.open({ method: 'PATCH', path, body }))) as T;
  }

  async delete<T>(path: string): Promise<T> {
    return (await readJson(await this.open({ method: 'DELETE', path }))) as T;
  }

  /** The stream of frames of a command in a guest; see exec-frames.ts. */
  async exec(vm: string, request: ExecRequest): Promise<Duplex> {
    const call: Call = {
      method: 'POST',
      path: `/v1/vms/${vm}/exec`,
      headers: {
        connection: 'Upgrade',
        upgrade: execUpgrade,
        [execHeader]: Buffer.from(JSON.stringify(request)).toString('base64url'),
      },
    };
    const answer = await this.#reach(call, () =>
      upgradeCall(this.#socketPath, this.#buildId, call),
    );
    if (!(answer instanceof IncomingMessage)) return answer;
    await assertOk(answer);
    throw new Error('the daemon did not switch to the exec protocol');
  }

  /** Only what did no work is repeated: no connection, 421, or a reading that was cut. */
  async #reach<T extends object>(call: Call, attempt: () => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        const answer = await attempt();
        const isForeign = answer instanceof IncomingMessage && answer.statusCode === 421;
        if (!isForeign || attempts === maxAttempts) return answer;
        await this.#keeper.replace((await readJson(answer)) as ForeignDaemon);
      } catch (error) {
        const isRepeatable = isNoDaemon(error) || (call.method === 'GET' && isCut(error));
        if (!isRepeatable || attempts === maxAttempts) throw explain(error, this.#socketPath);
        if (isNoDaemon(error)) await this.#keeper.start();
      }
    }
  }
}
