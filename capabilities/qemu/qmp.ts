import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, messageOf, z } from '../../core/plugin-api/index.ts';

/**
 * The QEMU Machine Protocol: a JSON object a line. One client at a time; the greeting comes first, then
 * `qmp_capabilities`, then commands. docs/interop/qmp-spec.rst in QEMU's source.
 */
const message = z.union([
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() }),
  z.object({ QMP: z.unknown() }),
]);

const connectRetryMs = 4;
/** Of an answer; QEMU's are some kilobytes. A guest may have got hold of QEMU: what it says is bounded. */
const lineMax = 1024 * 1024;

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

const silent = (cause: unknown): BangerError =>
  new BangerError('VMM_FAILED', `QEMU does not answer: ${messageOf(cause)}`, { cause });

export class Qmp {
  readonly #socket: Socket;
  #rest = '';
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #onGreeting: () => void = () => undefined;
  /** Why the guest ended, as the SHUTDOWN event told (`guest-reset`, `host-qmp-quit`, …). */
  shutdownReason: string | undefined;
  /** Settles when QEMU has closed the connection: it is ending, or another client is. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        const error = new BangerError('VMM_FAILED', 'QEMU closed its control socket');
        for (const { reject } of this.#pending.values()) reject(error);
        this.#pending.clear();
        resolve();
      });
    });
    // The 'close' that follows says all that there is to say.
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#cut(text);
    });
  }

  /** Retries until QEMU listens. @throws BangerError VMM_FAILED when `signal` aborts first */
  static async connect(path: string, signal: AbortSignal): Promise<Qmp> {
    for (;;) {
      const socket = await new Promise<Socket | Error>((resolve) => {
        const attempt = connect({ path });
        attempt.once('connect', () => {
          resolve(attempt);
        });
        attempt.once('error', resolve);
      });
      if (!(socket instanceof Error)) {
        // One that hangs, or has another client, lets us in and says nothing.
        const giveUp = (): void => {
          socket.destroy();
        };
        signal.addEventListener('abort', giveUp, { once: true });
        if (signal.aborted) giveUp();
        try {
          const qmp = new Qmp(socket);
          await new Promise<void>((resolve) => {
            qmp.#onGreeting = resolve;
            void qmp.closed.then(resolve);
          });
          await qmp.execute('qmp_capabilities');
          return qmp;
        } catch (error) {
          throw signal.aborted ? silent(error) : error;
        } finally {
          signal.removeEventListener('abort', giveUp);
        }
      }
      if (signal.aborted) throw silent(socket);
      await delay(connectRetryMs);
    }
  }

  #cut(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > lineMax) this.#socket.destroy(new Error('too long a line'));
    for (const line of lines) if (!this.#socket.destroyed) this.#read(line);
  }

  #read(line: string): void {
    let parsed: z.output<typeof message>;
    try {
      parsed = message.parse(JSON.parse(line));
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if ('QMP' in parsed) this.#onGreeting();
    else if ('event' in parsed) {
      const reason = parsed.data?.['reason'];
      // Only a text: an object may have a `toString` that is none.
      if (parsed.event === 'SHUTDOWN')
        this.shutdownReason = typeof reason === 'string' ? reason : 'unknown';
    } else if ('error' in parsed) {
      const error = new BangerError('VMM_FAILED', `QEMU: ${parsed.error.desc}`);
      const waiting = parsed.id === undefined ? undefined : this.#take(parsed.id);
      waiting?.reject(error);
    } else this.#take(parsed.id)?.resolve(parsed.return);
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new BangerError('VMM_FAILED', 'QEMU closed its control socket'));
        return;
      }
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }
}
