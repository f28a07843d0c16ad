import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

type OnEvent = (event: string, data: Readonly<Record<string, unknown>>) => void;

/** QEMU's control socket, which answers in the order of the commands. */
export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: ((message: Message) => void)[] = [];

  private constructor(socket: Socket, onEvent: OnEvent) {
    this.#socket = socket;
    const lines = createInterface({ input: socket });
    // The socket's errors come here as well: QEMU's end is told by its process.
    lines.on('error', () => undefined);
    lines.on('line', (line) => {
      const message = JSON.parse(line) as Message;
      if (message.event !== undefined) onEvent(message.event, message.data ?? {});
      else if (message.return !== undefined || message.error !== undefined)
        this.#waiting.shift()?.(message);
    });
  }

  static async connect(path: string, signal: AbortSignal, onEvent: OnEvent): Promise<Qmp> {
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, 'connect', { signal });
        socket.on('error', () => undefined);
        const qmp = new Qmp(socket, onEvent);
        await qmp.execute('qmp_capabilities');
        return qmp;
      } catch (error) {
        if (signal.aborted) throw error;
        await delay(4);
      }
    }
  }

  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const answer = new Promise<Message>((resolve) => this.#waiting.push(resolve));
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const { error, return: value } = await answer;
    if (error !== undefined) throw new Error(error.desc);
    return value;
  }
}
