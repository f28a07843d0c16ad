import fc from 'fast-check';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Agent } from '../../../capabilities/vsock-agent/agent.ts';
import { AgentError } from '../../../capabilities/vsock-agent/agent-error.ts';
import { chardev, firecrackerVsock } from '../../../capabilities/vsock-agent/connect.ts';
import { encodeFrame, FrameDecoder, FrameType } from '../../../capabilities/vsock-agent/frames.ts';
import { ConnectionPool } from '../../../capabilities/vsock-agent/pool.ts';
import { startFakeGuest, type FakeGuest } from './fake-guest.ts';

const guests: FakeGuest[] = [];
afterEach(async () => {
  await Promise.all(guests.splice(0).map((guest) => guest.dispose()));
});
const fakeGuest = async (onClient: (socket: Socket) => void): Promise<FakeGuest> => {
  const guest = await startFakeGuest(onClient);
  guests.push(guest);
  return guest;
};

/** Calls back with the id of each OPEN, and answers CLOSE as it should be. */
const onOpen =
  (answer: (id: Buffer, socket: Socket) => void) =>
  (socket: Socket): void => {
    const decoder = new FrameDecoder();
    socket.on('data', (data: Buffer) => {
      for (const { type, id } of decoder.push(data)) {
        if (type === FrameType.open) answer(id, socket);
        if (type === FrameType.close) socket.write(encodeFrame(id, FrameType.closed));
      }
    });
  };

const types = Object.values(FrameType);

/** What a guest may send once it has been asked: frames of that session and of others, and bytes. */
const parts = fc.array(
  fc.oneof(
    fc.record({
      own: fc.boolean(),
      type: fc.constantFrom(...types),
      body: fc.oneof(
        fc.uint8Array({ maxLength: 6 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
    }),
    fc.uint8Array({ maxLength: 60 }),
  ),
  { maxLength: 8 },
);

describe('whatever a guest answers', () => {
  it('ends a call in a result or an error of ours, and the next call is as good as the first', async () => {
    let given: readonly ({ own: boolean; type: FrameType; body: Uint8Array } | Uint8Array)[] = [];
    const guest = await fakeGuest(
      onOpen((id, socket) => {
        const wire = given.map((part) =>
          part instanceof Uint8Array
            ? part
            : encodeFrame(part.own ? id : Buffer.alloc(8, 9), part.type, part.body),
        );
        // The end, should none of these be one: a zero cuts off what junk has begun.
        const end = [Buffer.alloc(1), encodeFrame(id, FrameType.exit, Buffer.from([0, 0]))];
        socket.write(Buffer.concat([...wire, ...end]));
      }),
    );
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    const calls: (() => Promise<unknown>)[] = [
      () => agent.healthz(),
      () => agent.exec({ argv: ['x'], stdin: Buffer.alloc(1000) }),
      () => agent.exec({ argv: ['x'], stdin: 'none', onStdout: () => Promise.resolve() }),
      () => agent.putFile({ path: '/x', source: Buffer.alloc(10) }),
      () => agent.getFile({ path: '/x', onData: () => undefined }),
      () => agent.shutdown(),
    ];
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...calls), parts, async (call, wire) => {
        given = wire;
        try {
          await call();
          seen.add('result');
        } catch (error) {
          if (!(error instanceof AgentError)) throw error;
          seen.add(error.code);
        }
        given = [];
        expect(await agent.exec({ argv: ['x'] })).toEqual({ kind: 'exit', code: 0 });
      }),
      { numRuns: 500 },
    );
    expect([...seen]).toEqual(
      expect.arrayContaining(['result', 'AGENT_BAD_ANSWER', 'AGENT_LOST', 'AGENT_REFUSED']),
    );
    agent.close();
  });

  it('is read no further where it goes on and on with what nobody asked for', async () => {
    let sent = 0;
    const guest = await fakeGuest(
      onOpen((_id, socket) => {
        const junk = Buffer.alloc(64 * 1024, 7);
        const flood = (): void => {
          while (!socket.destroyed && socket.write(junk)) sent += junk.length;
          sent += junk.length;
        };
        socket.on('drain', flood);
        flood();
      }),
    );
    const agent = new Agent(new ConnectionPool([chardev(guest.path)]));
    await expect(agent.exec({ argv: ['x'] })).rejects.toMatchObject({
      code: 'AGENT_BAD_ANSWER',
      message: expect.stringContaining('floods') as string,
    });
    // What it was read, and what the socket holds.
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    agent.close();
  });

  it('before there is a session, over vsock, is an answer or none', async () => {
    let answer: Uint8Array = Buffer.alloc(0);
    const guest = await fakeGuest((socket) => {
      socket.once('data', () => {
        socket.end(answer);
      });
    });
    const line = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.string({ maxLength: 40 }).map((text) => Buffer.from(`${text}\n`)),
      fc.constantFrom('OK\n', 'OK 7', 'OK 7\n', 'ok 7\n').map((text) => Buffer.from(text)),
    );
    const connect = firecrackerVsock(guest.path, 1024);
    let connected = 0;
    await fc.assert(
      fc.asyncProperty(line, async (bytes) => {
        answer = bytes;
        const isOk = /^OK [^\n]{0,29}\n/.test(Buffer.from(bytes).toString('latin1'));
        try {
          const stream = await connect(new AbortController().signal);
          stream.destroy();
          expect(isOk).toBe(true);
          connected++;
        } catch (error) {
          expect(error).toMatchObject({ code: 'AGENT_UNREACHABLE' });
          expect(isOk).toBe(false);
        }
      }),
      { numRuns: 300 },
    );
    expect(connected).toBeGreaterThan(0);
  });
});
