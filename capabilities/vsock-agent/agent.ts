// What the guest's agent can do, over a pool of streams.

import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import {
  deadlineSignal,
  type GuestStats,
  type ListeningPorts,
} from '../../core/plugin-api/index.ts';
import { AgentError, silent } from './agent-error.ts';
import type { Pause } from './announcement.ts';
import { cleanText } from './clean-text.ts';
import { portsSchema, statsSchema } from './figures.ts';
import type { ConnectionPool } from './pool.ts';
import { feedStdin, type StdinSource } from './stdin.ts';
import {
  openSession,
  type Exit,
  type Fields,
  type Session,
  type SessionEnd,
  type SessionOptions,
  type Sink,
} from './session.ts';

export const healthSchema = z.object({
  agent: cleanText(64),
  protocol: z.int().positive(),
  hostname: cleanText(64),
  machineId: cleanText(64),
  bootId: cleanText(64),
  uptimeMs: z.int().nonnegative(),
  init: cleanText(128),
});

const growSchema = z.object({ deviceBytes: z.int().nonnegative() });

export type Health = z.infer<typeof healthSchema>;

export interface ExecRequest {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** A name, UID or UID:GID of the guest; root where absent. */
  readonly user?: string | undefined;
  readonly pty?: { readonly rows: number; readonly columns: number } | undefined;
  /** `none`, the default, is /dev/null. `session`: the caller writes through `onSession`'s. */
  readonly stdin?: StdinSource | 'none' | 'session' | undefined;
  readonly onStdout?: Sink | undefined;
  readonly onStderr?: Sink | undefined;
  readonly onOpened?: ((pid: number) => void) | undefined;
  /** For signals, window sizes and interactive input. */
  readonly onSession?: ((session: Session) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PutRequest {
  readonly path: string;
  readonly source: StdinSource;
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GetRequest {
  readonly path: string;
  readonly onData: Sink;
  readonly signal?: AbortSignal | undefined;
}

export interface TarRequest {
  readonly path: string;
  readonly onData: Sink;
  readonly onNote?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UntarRequest {
  readonly path: string;
  /** Where `path` is a folder already, its entry of this name is meant. */
  readonly name?: string | undefined;
  readonly source: StdinSource;
  readonly signal?: AbortSignal | undefined;
}

/** What makes a restored copy a guest of its own; what is absent stays. Host keys go by putFile. */
export interface Identity {
  /** Milliseconds since 1970. */
  readonly clockMs?: number | undefined;
  readonly hostname?: string | undefined;
  /** 32 hexadecimal digits, machine-id(5). */
  readonly machineId?: string | undefined;
  /** `10.1.2.3/24`, and the gateway of the default route. */
  readonly address?: string | undefined;
  readonly gateway?: string | undefined;
  /** At most 256 random bytes for the kernel's generator. */
  readonly entropy?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReadyOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Between two questions. */
  readonly pause?: Pause | undefined;
}

const plainPause: Pause = (ms, signal) => delay(ms, undefined, { signal });
const RETRY_FIRST_MS = 10;
const RETRY_LAST_MS = 200;
/** A guest that is not up yet never answers CLOSE: don't wait long to give its stream up. */
const HEALTH_CLOSE_MS = 500;

/** A guest that halts, or whose kernel hangs, has its agent's stream open and answers nothing. */
const EXEC_ANSWER_MS = 60_000;

export class Agent {
  readonly #pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  healthz(signal?: AbortSignal): Promise<Health> {
    return this.#ask('healthz', healthSchema, signal);
  }

  stats(signal?: AbortSignal): Promise<GuestStats> {
    return this.#ask('stats', statsSchema, signal);
  }

  ports(signal?: AbortSignal): Promise<ListeningPorts> {
    return this.#ask('ports', portsSchema, signal);
  }

  /** A short question with one REPLY; what it says is nothing before `schema` has taken it. */
  async #ask<T>(method: string, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
    const options = { signal, closeDeadlineMs: HEALTH_CLOSE_MS };
    const answer = schema.safeParse(reply(await this.#run(method, [], options)));
    if (answer.success) return answer.data;
    const { error: cause } = answer;
    throw new AgentError('AGENT_BAD_ANSWER', `the guest's answer to ${method} makes no sense`, {
      cause,
    });
  }

  /** The guest's first answer. Where the stream is there before the guest is, one question does. */
  async waitReady({ deadlineMs, signal, pause = plainPause }: ReadyOptions): Promise<Health> {
    const either = deadlineSignal(deadlineMs, signal);
    let last: unknown;
    for (let ms = RETRY_FIRST_MS; ; ms = Math.min(ms * 2, RETRY_LAST_MS)) {
      try {
        return await this.healthz(either);
      } catch (error) {
        signal?.throwIfAborted();
        if (either.aborted) throw silent(deadlineMs, last ?? error);
        if (!(error instanceof AgentError && error.transient)) throw error;
        last = error;
      }
      try {
        await pause(ms, either);
      } catch (error) {
        signal?.throwIfAborted();
        throw silent(deadlineMs, last ?? error);
      }
    }
  }

  async exec(request: ExecRequest): Promise<Exit> {
    const { argv, env = {}, cwd, user, pty, stdin = 'none' } = request;
    const fields: [string, string][] = argv.map((arg) => ['arg', arg]);
    for (const [key, value] of Object.entries(env)) fields.push(['env', `${key}=${value}`]);
    if (cwd !== undefined) fields.push(['cwd', cwd]);
    if (user !== undefined) fields.push(['user', user]);
    if (pty) fields.push(['pty', `${pty.rows}x${pty.columns}`]);
    if (stdin === 'none') fields.push(['stdin', 'none']);
    const options = { ...request, answerDeadlineMs: EXEC_ANSWER_MS };
    return exit(
      await this.#run('exec', fields, options, (session) => {
        request.onSession?.(session);
        return stdin === 'none' || stdin === 'session' ? undefined : feedStdin(session, stdin);
      }),
    );
  }

  async putFile({ path, source, mode, uid, gid, signal }: PutRequest): Promise<void> {
    const fields: [string, string][] = [['path', path]];
    if (mode !== undefined) fields.push(['mode', mode.toString(8)]);
    if (uid !== undefined) fields.push(['uid', String(uid)]);
    if (gid !== undefined) fields.push(['gid', String(gid)]);
    exit(await this.#run('put', fields, { signal }, (session) => feedStdin(session, source)));
  }

  async getFile({ path, onData, signal }: GetRequest): Promise<void> {
    exit(await this.#run('get', [['path', path]], { signal, onStdout: onData }));
  }

  /** @returns the bytes that the disk has for the guest; its file system follows it */
  async grow(path: string, signal?: AbortSignal): Promise<number> {
    const answer = growSchema.safeParse(
      reply(await this.#run('grow', [['path', path]], { signal })),
    );
    if (answer.success) return answer.data.deviceBytes;
    const { error: cause } = answer;
    throw new AgentError('AGENT_BAD_ANSWER', 'the guest does not say how large its disk is', {
      cause,
    });
  }

  async tar({ path, onData, onNote, signal }: TarRequest): Promise<void> {
    const onStderr = (line: Buffer): void => onNote?.(line.toString());
    exit(await this.#run('tar', [['path', path]], { signal, onStdout: onData, onStderr }));
  }

  async untar({ path, name, source, signal }: UntarRequest): Promise<void> {
    const fields: [string, string][] = [['path', path]];
    if (name !== undefined) fields.push(['name', name]);
    exit(await this.#run('untar', fields, { signal }, (session) => feedStdin(session, source)));
  }

  async identify({ signal, ...identity }: Identity): Promise<void> {
    const { clockMs, hostname, machineId, address, gateway, entropy } = identity;
    const fields = {
      entropy: entropy && Buffer.from(entropy).toString('hex'),
      clock: clockMs?.toFixed(0),
      machine: machineId,
      hostname,
      address,
      gateway,
    };
    const given = Object.entries(fields).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    );
    reply(await this.#run('identify', given, { signal }));
  }

  /** Resolves when the guest has begun to end; the VMM's exit tells when it has. */
  async shutdown(signal?: AbortSignal): Promise<void> {
    reply(await this.#run('shutdown', [], { signal }));
  }

  close(): void {
    this.#pool.close();
  }

  async #run(
    method: string,
    fields: Fields,
    options: SessionOptions,
    feed?: (session: Session) => Promise<void> | undefined,
  ): Promise<SessionEnd> {
    const lease = await this.#pool.acquire(options.signal);
    try {
      const session = openSession(lease.connection, method, fields, options);
      const fed = feed?.(session);
      fed?.catch((error: unknown) => session.close(error));
      return await session.result;
    } finally {
      lease.release();
    }
  }
}

function exit(end: SessionEnd): Exit {
  if (end.kind !== 'reply') return end;
  throw new AgentError('AGENT_BAD_ANSWER', 'the guest replied where it should have ended');
}

function reply(end: SessionEnd): unknown {
  if (end.kind !== 'reply') throw new AgentError('AGENT_BAD_ANSWER', 'the guest did not reply');
  try {
    return JSON.parse(end.json);
  } catch (error) {
    throw new AgentError('AGENT_BAD_ANSWER', 'the reply is not JSON', { cause: error });
  }
}
