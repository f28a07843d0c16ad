import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { deadlineSignal } from '../../../core/deadline.ts';
import { Qmp } from '../../../capabilities/qemu/qmp.ts';
import { tempDir } from '../../support/temp-dir.ts';

const soon = (): AbortSignal => deadlineSignal(5_000);
const greeting = { QMP: { version: {}, capabilities: [] } };

interface Command {
  readonly execute: string;
  readonly id: number;
}

describe('QMP', () => {
  const servers: Server[] = [];
  const clients: Socket[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  const listen = async (path: string, onClient: (socket: Socket) => void): Promise<void> => {
    const server = createServer((socket) => {
      clients.push(socket);
      socket.on('error', () => undefined);
      onClient(socket);
    }).listen(path);
    servers.push(server);
    await once(server, 'listening');
  };
  const say = (socket: Socket, message: object): void => {
    socket.write(`${JSON.stringify(message)}\n`);
  };
  /** QEMU as far as needed: greets, and answers each command by `answer`. */
  const qemu = async (
    answer: (socket: Socket, command: Command) => void = (socket, { id }) => {
      say(socket, { return: {}, id });
    },
  ): Promise<string> => {
    const path = join(await tempDir(), 'qmp');
    await listen(path, (socket) => {
      say(socket, greeting);
      createInterface({ input: socket })
        .on('error', () => undefined)
        .on('line', (line) => {
          answer(socket, JSON.parse(line) as Command);
        });
    });
    return path;
  };

  it('greets, then executes, each answer to its command', async () => {
    const held: (() => void)[] = [];
    const path = await qemu((socket, { execute, id }) => {
      const reply = (): void => {
        say(socket, { return: execute, id });
      };
      if (execute === 'slow') held.push(reply);
      else reply();
    });
    const qmp = await Qmp.connect(path, soon());
    const slow = qmp.execute('slow');
    expect(await qmp.execute('quick')).toBe('quick');
    held[0]?.();
    expect(await slow).toBe('slow');
  });

  it('waits for QEMU to listen', async () => {
    const path = join(await tempDir(), 'qmp');
    const connecting = Qmp.connect(path, soon());
    await listen(path, (socket) => {
      say(socket, greeting);
      createInterface({ input: socket }).on('line', (line) => {
        say(socket, { return: {}, id: (JSON.parse(line) as Command).id });
      });
    });
    await connecting;
  });

  it('gives up on a QEMU that is not there, and on one that says nothing', async () => {
    const path = join(await tempDir(), 'qmp');
    const silent = { code: 'VMM_FAILED', message: expect.stringContaining('answer') as string };
    await expect(Qmp.connect(path, deadlineSignal(30))).rejects.toMatchObject(silent);
    await listen(path, () => undefined);
    await expect(Qmp.connect(path, deadlineSignal(30))).rejects.toMatchObject(silent);
    await expect(Qmp.connect(path, AbortSignal.abort())).rejects.toMatchObject(silent);
  });

  it('hands on what QEMU refuses, and why the guest ended', async () => {
    const path = await qemu((socket, { execute, id }) => {
      if (execute === 'bad') say(socket, { error: { class: 'GenericError', desc: 'no such' }, id });
      else say(socket, { return: {}, id });
      say(socket, { event: 'SHUTDOWN', data: { guest: true, reason: 'guest-reset' } });
    });
    const qmp = await Qmp.connect(path, soon());
    await expect(qmp.execute('bad')).rejects.toMatchObject({ message: 'QEMU: no such' });
    await qmp.execute('good');
    expect(qmp.shutdownReason).toBe('guest-reset');
  });

  it.each([
    ['ends', (socket: Socket) => socket.end()],
    ['says what is no JSON', (socket: Socket) => socket.write('{"return": \n')],
    ['says what is no QMP', (socket: Socket) => socket.write('{"hello": 1}\n')],
  ])('fails what waits when QEMU %s, and nothing else', async (_how, end) => {
    const path = await qemu((socket, { execute, id }) => {
      if (execute === 'wait') end(socket);
      else say(socket, { return: {}, id });
    });
    const qmp = await Qmp.connect(path, soon());
    await expect(qmp.execute('wait')).rejects.toMatchObject({ code: 'VMM_FAILED' });
    await qmp.closed;
    await expect(qmp.execute('late')).rejects.toMatchObject({ code: 'VMM_FAILED' });
  });

  it('outlives the reset of a QEMU that is killed with a command unread', async () => {
    const qmp = await Qmp.connect(await qemu(), soon());
    const [socket] = clients;
    socket?.pause();
    const waiting = qmp.execute('wait');
    socket?.destroy(); // with data unread the kernel resets the connection: unix(7)
    await expect(waiting).rejects.toMatchObject({ code: 'VMM_FAILED' });
    await qmp.closed;
  });
});
