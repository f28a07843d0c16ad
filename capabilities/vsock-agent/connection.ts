// One byte stream to the guest. It carries a session at a time and outlives it.

import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import { AgentError } from './agent-error.ts';
import { encodeFrame, FrameDecoder, FrameType, NOBODY, RESYNC, type Frame } from './frames.ts';

/**
 * Bytes in a row that belong to no session of ours. What a session that was given up has left in the guest's
 * queues and in the kernel's is well below; a guest that goes on and on would have us read for ever.
 */
const UNASKED_MAX = 4 * 1024 * 1024;

export interface FrameHandler {
  readonly id: Buffer;
  /** While its promise is pending nothing more is read: that is the backpressure. */
  onFrame(frame: Frame): void | Promise<void>;
  onLost(error: AgentError): void;
}

export class Connection {
  readonly #stream: Duplex;
  #handler: FrameHandler | undefined;
  #lost: AgentError | undefined;
  #unasked = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('error', (error) => this.#end(error));
    stream.on('close', () => this.#end());
    // Whatever an earlier client of this port began ends here.
    stream.write(RESYNC);
    stream.write(encodeFrame(NOBODY, FrameType.close));
    this.#read().catch((error: unknown) => this.#end(error));
  }

  get usable(): boolean {
    return this.#lost === undefined;
  }

  attach(handler: FrameHandler): void {
    if (this.#handler) throw new Error('the stream carries a session already');
    if (this.#lost) throw this.#lost;
    this.#handler = handler;
  }

  detach(handler: FrameHandler): void {
    if (this.#handler === handler) this.#handler = undefined;
  }

  /** Resolves when the stream takes more. */
  async send(id: Buffer, type: FrameType, body?: Uint8Array): Promise<void> {
    if (this.#lost || this.#stream.write(encodeFrame(id, type, body))) return;
    const ended = new AbortController();
    const stop = (): void => ended.abort();
    this.#stream.once('close', stop);
    try {
      await once(this.#stream, 'drain', { signal: ended.signal });
    } catch (error) {
      if (this.usable) throw error; // else the session hears of it by onLost
    } finally {
      this.#stream.off('close', stop);
    }
  }

  destroy(): void {
    this.#stream.destroy();
    this.#end();
  }

  async #read(): Promise<void> {
    const decoder = new FrameDecoder();
    for await (const chunk of this.#stream) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError('the stream is not one of bytes');
      this.#unasked += chunk.length;
      for (const frame of decoder.push(chunk)) await this.#dispatch(frame);
      if (this.#unasked > UNASKED_MAX)
        throw new AgentError(
          'AGENT_BAD_ANSWER',
          'the guest floods its channel with what nobody asked for',
        );
    }
    this.#end();
  }

  async #dispatch(frame: Frame): Promise<void> {
    const handler = this.#handler;
    if (!handler) return;
    if (frame.id.equals(handler.id)) {
      this.#unasked = 0;
      await handler.onFrame(frame);
    } else if (frame.type === FrameType.restarted && frame.id.equals(NOBODY)) {
      this.detach(handler);
      handler.onLost(new AgentError('AGENT_RESTARTED', 'the agent in the guest has restarted'));
    }
  }

  #end(cause?: unknown): void {
    if (this.#lost) return;
    const lost =
      cause instanceof AgentError
        ? cause
        : new AgentError('AGENT_LOST', 'the connection to the guest ended', { cause });
    this.#lost = lost;
    this.#stream.destroy();
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onLost(lost);
  }
}
