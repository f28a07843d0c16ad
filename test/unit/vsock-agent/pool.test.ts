import fc from 'fast-check';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Agent } from '../../../capabilities/vsock-agent/agent.ts';
import { AgentError } from '../../../capabilities/vsock-agent/agent-error.ts';
import { chardev, firecrackerVsock } from '../../../capabilities/vsock-agent/connect.ts';
import { Connection } from '../../../capabilities/vsock-agent/connection.ts';
import {
  encodeFrame,
  FrameDecoder,
  FrameType,
  NOBODY,
} from '../../../capabilities/vsock-agent/frames.ts';
import { ConnectionPool } from '../../../capabilities/vsock-agent/pool.ts';
import { openSession } from '../../../capabilities/vsock-agent/session.ts';
import { startFakeGuest, type FakeGuest } from './fake-guest.ts';

const guests: FakeGuest[] = [];

afterEach(async () => {
  await Promise.all(guests.splice(0).map((guest) => guest.dispose()));
});

async function fakeGuest(onClient: (socket: Socket) => void = () => {}): Promise<FakeGuest> {
  const guest = await startFakeGuest(onClient);
  guests.push(guest);
  return guest;
}

const health = {
  agent: '0.1.0',
  protocol: 1,
  hostname: 'fake',
  machineId: '',
  bootId: 'x',
  uptimeMs: 1,
  init: 'lean',
};

/** Answers every OPEN with the given frames. */
function answering(answer: (id: Buffer) => Buffer[]): (socket: Socket) => void {
  return (socket) => {
    const decoder = new FrameDecoder();
    socket.on('data', (data) => {
      if (typeof data === 'string') return;
      for (const frame of decoder.push(data)) {
        if (frame.type === FrameType.open) socket.write(Buffer.concat(answer(frame.id)));
        if (frame.type === FrameType.close) socket.write(encodeFrame(frame.id, FrameType.closed));
      }
    });
  };
}

const healthy = answering((id) => [
  encodeFrame(id, FrameType.reply, Buffer.from(JSON.stringify(health))),
]);

describe('the pool', () => {
  it('keeps its streams between sessions and replaces a broken one', async () => {
    const guest = await fakeGuest(healthy);
    const pool = new ConnectionPool([chardev(guest.path)]);
    const agent = new Agent(pool);
    await agent.healthz();
    await agent.healthz();
    expect(guest.clients).toHaveLength(1);
    const lease = await pool.acquire();
    guest.clients[0]?.destroy();
    await expect.poll(() => lease.connection.usable).toBe(false);
    lease.release();
    await agent.healthz();
    expect(guest.clients).toHaveLength(2);
    agent.close();
  });

  it('serves in order, and forgets who gave up', async () => {
    const guest = await fakeGuest();
    const pool = new ConnectionPool([chardev(guest.path)]);
    const first = await pool.acquire();
    const order: string[] = [];
    const abort = new AbortController();
    const gaveUp = pool.acquire(abort.signal);
    const second = pool.acquire().then((lease) => (order.push('second'), lease.release()));
    const third = pool.acquire().then((lease) => (order.push('third'), lease.release()));
    abort.abort(new Error('enough'));
    await expect(gaveUp).rejects.toThrow('enough');
    first.release();
    first.release();
    await Promise.all([second, third]);
    expect(order).toEqual(['second', 'third']);
    const waiting = await pool.acquire();
    const never = pool.acquire();
    pool.close();
    await expect(never).rejects.toMatchObject({ code: 'AGENT_LOST' });
    waiting.release();
  });

  it('says which socket does not answer', async () => {
    const agent = new Agent(new ConnectionPool([chardev('/no/such/socket')]));
    await expect(agent.healthz()).rejects.toMatchObject({
      code: 'AGENT_UNREACHABLE',
      message: expect.stringContaining('/no/such/socket') as string,
    });
  });
});

describe('waitReady', () => {
  it('asks again while the guest is not there', async () => {
    let clients = 0;
    const guest = await fakeGuest((socket) => {
      if (++clients < 3) socket.destroy();
      else healthy(socket);
    });
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    expect((await agent.waitReady({ deadlineMs: 5_000 })).hostname).toBe('fake');
    agent.close();
  });

  it('lets the time between two questions be what it may', async () => {
    let clients = 0;
    const guest = await fakeGuest((socket) => {
      if (++clients < 3) socket.destroy();
      else healthy(socket);
    });
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    const pauses: number[] = [];
    const pause = (ms: number): Promise<void> => Promise.resolve(void pauses.push(ms));
    await agent.waitReady({ deadlineMs: 5_000, pause });
    expect(pauses).toEqual([10, 20]);
    agent.close();
  });

  it('ends at its deadline, or when it is cancelled', async () => {
    const guest = await fakeGuest((socket) => socket.resume());
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    await expect(agent.waitReady({ deadlineMs: 50 })).rejects.toMatchObject({
      code: 'AGENT_SILENT',
    });
    const abort = new AbortController();
    const ready = agent.waitReady({ deadlineMs: 60_000, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(ready).rejects.toThrow('enough');
    agent.close();
  });
});

describe('a guest that halts', () => {
  it('is not waited for by a command that it has never answered', async () => {
    const guest = await fakeGuest((socket) => socket.resume());
    const connection = new Connection(await chardev(guest.path)(new AbortController().signal));
    const options = { answerDeadlineMs: 30, closeDeadlineMs: 30 };
    await expect(openSession(connection, 'exec', [], options).result).rejects.toMatchObject({
      code: 'AGENT_SILENT',
      message: 'no answer from the guest in 30 ms',
    });
    expect(connection.usable).toBe(false);
  });

  it('has all the time once it has answered', async () => {
    const guest = await fakeGuest((socket) => {
      const decoder = new FrameDecoder();
      socket.on('data', (data) => {
        for (const { id, type } of decoder.push(data)) {
          if (type !== FrameType.open) continue;
          socket.write(encodeFrame(id, FrameType.opened, Buffer.alloc(4)));
          setTimeout(() => socket.write(encodeFrame(id, FrameType.exit, Buffer.from([0, 7]))), 90);
        }
      });
    });
    const connection = new Connection(await chardev(guest.path)(new AbortController().signal));
    const { result } = openSession(connection, 'exec', [], { answerDeadlineMs: 30 });
    expect(await result).toEqual({ kind: 'exit', code: 7 });
    connection.destroy();
  });

  it('accepts no stream, and that is told', async () => {
    const guest = await fakeGuest((socket) => socket.resume());
    const connect = firecrackerVsock(guest.path, 1024, 30);
    await expect(connect(new AbortController().signal)).rejects.toMatchObject({
      code: 'AGENT_UNREACHABLE',
      message: expect.stringContaining('the guest accepts no stream in 30 ms') as string,
    });
  });
});

describe('firecracker', () => {
  it('is asked for the port, and no byte after its answer is lost', async () => {
    const guest = await fakeGuest((socket) => {
      socket.once('data', (data) => {
        expect(data.toString()).toBe('CONNECT 1024\n');
        healthy(socket);
        socket.write(Buffer.concat([Buffer.from('OK 7\n'), encodeFrame(NOBODY, FrameType.closed)]));
      });
    });
    const agent = new Agent(new ConnectionPool([firecrackerVsock(guest.path, 1024)]));
    expect((await agent.healthz()).hostname).toBe('fake');
    agent.close();
  });

  it('may close before the guest listens', async () => {
    const guest = await fakeGuest((socket) => socket.end());
    const agent = new Agent(new ConnectionPool([firecrackerVsock(guest.path, 1024)]));
    await expect(agent.healthz()).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
  });
});

describe('a hostile guest', () => {
  it('gets no answer taken that does not follow the protocol', async () => {
    const guest = await fakeGuest(
      answering((id) => [encodeFrame(id, FrameType.reply, Buffer.from('{"agent":1}'))]),
    );
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    await expect(agent.healthz()).rejects.toMatchObject({ code: 'AGENT_BAD_ANSWER' });
    agent.close();
  });

  it('is heard only under the id of the session', async () => {
    const guest = await fakeGuest(
      answering((id) => [
        encodeFrame(Buffer.alloc(8, 9), FrameType.stdout, Buffer.from('foreign')),
        encodeFrame(id, FrameType.stdout, Buffer.from('own')),
        encodeFrame(id, FrameType.exit, Buffer.from([0, 3])),
      ]),
    );
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    let out = '';
    const exit = await agent.exec({ argv: ['x'], onStdout: (data) => void (out += String(data)) });
    expect([out, exit]).toEqual(['own', { kind: 'exit', code: 3 }]);
    agent.close();
  });

  it('ends a session with an error of ours or an exit, never otherwise', async () => {
    let frames: [number, Uint8Array][] = [];
    const types = Object.values(FrameType);
    const guest = await fakeGuest(
      answering((id) => [
        ...frames.map(([type, body]) =>
          encodeFrame(id, types.find((known) => known === type) ?? FrameType.stdout, body),
        ),
        encodeFrame(id, FrameType.exit, Buffer.from([0, 0])),
      ]),
    );
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    const frame = fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 6 }));
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 6 }), async (given) => {
        frames = given;
        try {
          expect(await agent.exec({ argv: ['x'] })).toHaveProperty('kind');
        } catch (error) {
          expect(error).toBeInstanceOf(AgentError);
        }
      }),
    );
    agent.close();
  });
});
