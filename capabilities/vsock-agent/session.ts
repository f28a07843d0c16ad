// One session, from OPEN to the frame that ends it.

import { randomBytes } from 'node:crypto';
import { AgentError, silent } from './agent-error.ts';
import type { Connection, FrameHandler } from './connection.ts';
import { BODY_MAX, FrameType, ID_SIZE, type Frame } from './frames.ts';
import { StdinWindow } from './stdin-window.ts';

/** How long the guest has to answer CLOSE; it takes 2 s to kill what ignores a hang-up. */
export const CLOSE_DEADLINE_MS = 5_000;

export type Sink = (data: Buffer) => void | Promise<void>;

export interface SessionOptions {
  /** Ends the command in the guest; `result` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly onStdout?: Sink | undefined;
  readonly onStderr?: Sink | undefined;
  readonly onOpened?: ((pid: number) => void) | undefined;
  readonly closeDeadlineMs?: number | undefined;
  /** For the guest's first word to OPEN; where absent it may take its time. */
  readonly answerDeadlineMs?: number | undefined;
}

export type Exit =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: number };

export type SessionEnd = Exit | { readonly kind: 'reply'; readonly json: string };

export type Fields = readonly (readonly [key: string, value: string])[];

export function encodeOpen(method: string, fields: Fields): Buffer {
  const words = [method, ...fields.map(([key, value]) => `${key}=${value}`)];
  if (words.some((word) => word.includes('\0'))) {
    throw new AgentError('AGENT_BAD_REQUEST', 'a field has a NUL in it');
  }
  const body = Buffer.from(words.map((word) => `${word}\0`).join(''));
  if (body.length > BODY_MAX) {
    throw new AgentError('AGENT_BAD_REQUEST', `the request is longer than ${BODY_MAX} bytes`);
  }
  return body;
}

/** Starts a session on a connection that carries none. */
export function openSession(
  connection: Connection,
  method: string,
  fields: Fields,
  options: SessionOptions = {},
): Session {
  options.signal?.throwIfAborted();
  return new Session(connection, encodeOpen(method, fields), options);
}

export class Session implements FrameHandler {
  readonly id = randomBytes(ID_SIZE);
  /** Settles when the connection is free for the next session, or lost. */
  readonly result: Promise<SessionEnd>;
  readonly #connection: Connection;
  readonly #options: SessionOptions;
  readonly #window = new StdinWindow();
  /** Output is not delivered any more. */
  #muted = false;
  /** Stops waiting for a sink. */
  #release: () => void = () => {};
  #resolve: (end: SessionEnd) => void = () => {};
  #reject: (reason: unknown) => void = () => {};
  #ended = false;
  #closeReason: unknown;
  #closeTimer: NodeJS.Timeout | undefined;
  #answerTimer: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.close(this.#options.signal?.reason);

  constructor(connection: Connection, open: Buffer, options: SessionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    connection.attach(this);
    options.signal?.addEventListener('abort', this.#onAbort);
    const { answerDeadlineMs } = options;
    if (answerDeadlineMs !== undefined) {
      const late = silent(answerDeadlineMs);
      this.#answerTimer = setTimeout(() => {
        this.close(late);
      }, answerDeadlineMs);
    }
    this.#post(FrameType.open, open);
  }

  /** Sends stdin as far as the guest takes it. False once the session no longer reads it. */
  async write(data: Uint8Array): Promise<boolean> {
    for (let at = 0; at < data.length;) {
      const size = await this.#window.take(Math.min(BODY_MAX, data.length - at));
      if (size === 0) return false;
      await this.#connection.send(this.id, FrameType.stdin, data.subarray(at, at + size));
      at += size;
    }
    return !this.#window.closed;
  }

  endStdin(): void {
    if (this.#window.closed) return;
    this.#window.close();
    this.#post(FrameType.stdinEof);
  }

  signal(number: number): void {
    this.#post(FrameType.signal, Buffer.from([number]));
  }

  resize(rows: number, columns: number): void {
    const body = Buffer.alloc(4);
    body.writeUInt16BE(rows, 0);
    body.writeUInt16BE(columns, 2);
    this.#post(FrameType.resize, body);
  }

  /** Ends the command. `result` rejects with `reason` once the guest has confirmed it. */
  close(reason: unknown = new AgentError('AGENT_LOST', 'the session was closed')): void {
    if (this.#ended || this.#closeTimer) return;
    this.#closeReason = reason;
    this.#window.close();
    this.#mute();
    // A guest that is silent has a stream that nobody can use: who comes next opens a new one.
    this.#closeTimer = setTimeout(() => {
      this.#connection.destroy();
    }, this.#options.closeDeadlineMs ?? CLOSE_DEADLINE_MS);
    this.#post(FrameType.close);
  }

  async onFrame(frame: Frame): Promise<void> {
    clearTimeout(this.#answerTimer);
    const { body, type } = frame;
    switch (type) {
      case FrameType.stdout:
        return this.#deliver(this.#options.onStdout, body);
      case FrameType.stderr:
        return this.#deliver(this.#options.onStderr, body);
      case FrameType.opened:
        return this.#expect(body.length === 4, () => this.#options.onOpened?.(body.readUInt32BE()));
      case FrameType.ack:
        return this.#expect(body.length === 4 && this.#window.give(body.readUInt32BE()));
      case FrameType.exit:
        return this.#expect(body.length === 2, () => {
          const [kind, value = 0] = body;
          this.#finish(
            kind === 0 ? { kind: 'exit', code: value } : { kind: 'signal', signal: value },
          );
        });
      case FrameType.reply:
        return this.#finish({ kind: 'reply', json: body.toString() });
      case FrameType.error:
        return this.#fail(new AgentError('AGENT_REFUSED', body.toString()));
      case FrameType.closed:
        return this.#fail(new AgentError('AGENT_LOST', 'the guest closed the session'));
      default:
        return this.#expect(false);
    }
  }

  onLost(error: AgentError): void {
    this.#fail(error);
  }

  async #deliver(sink: Sink | undefined, data: Buffer): Promise<void> {
    if (!sink || this.#muted) return;
    try {
      const taken = sink(data);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- the sink may have muted it
      if (!taken || this.#muted) return;
      // Not Promise.race with a promise of the session's: each call would stay attached to it.
      await new Promise<void>((resolve, reject) => {
        this.#release = resolve;
        taken.then(resolve, reject);
      });
    } catch (error) {
      this.close(error);
    }
  }

  #mute(): void {
    this.#muted = true;
    this.#release();
  }

  #expect(valid: boolean, then?: () => void): void {
    if (valid) return then?.();
    this.close(new AgentError('AGENT_BAD_ANSWER', 'the guest does not follow the protocol'));
  }

  #finish(end: SessionEnd): void {
    // A command that ended by itself while CLOSE was on its way was closed all the same.
    if (this.#closeTimer) return this.#fail(undefined);
    if (this.#leave()) this.#resolve(end);
  }

  #fail(error: AgentError | undefined): void {
    const reason = this.#closeTimer ? this.#closeReason : error;
    if (this.#leave()) this.#reject(reason);
  }

  #leave(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearTimeout(this.#closeTimer);
    clearTimeout(this.#answerTimer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#window.close();
    this.#mute();
    this.#connection.detach(this);
    return true;
  }

  #post(type: FrameType, body?: Uint8Array): void {
    if (this.#ended) return;
    this.#connection.send(this.id, type, body).catch((error: unknown) => this.close(error));
  }
}
