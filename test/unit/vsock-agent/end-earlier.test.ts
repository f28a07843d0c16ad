import { afterEach, describe, expect, it } from 'vitest';
import { chardev } from '../../../capabilities/vsock-agent/connect.ts';
import { endEarlierSession } from '../../../capabilities/vsock-agent/end-earlier.ts';
import {
  encodeFrame,
  FrameDecoder,
  FrameType,
  NOBODY,
} from '../../../capabilities/vsock-agent/frames.ts';
import { startFakeGuest, type FakeGuest } from './fake-guest.ts';

describe('what an earlier client has begun', () => {
  let guest: FakeGuest;
  afterEach(() => guest.dispose());

  it('is over when the guest says so, and the stream is free again', async () => {
    guest = await startFakeGuest((socket) => {
      const decoder = new FrameDecoder();
      socket.on('data', (data: Buffer) => {
        for (const { id, type } of decoder.push(data)) {
          // Somebody else's is none of ours, nor is an agent that has come back.
          socket.write(encodeFrame(Buffer.alloc(8, 1), FrameType.closed));
          socket.write(encodeFrame(NOBODY, FrameType.restarted));
          if (type === FrameType.close) socket.write(encodeFrame(id, FrameType.closed));
        }
      });
    });
    await endEarlierSession(chardev(guest.path), new AbortController().signal);
    await expect.poll(() => guest.clients[0]?.destroyed).toBe(true);
  });

  it('is waited for no longer than asked, and not where the stream ends', async () => {
    guest = await startFakeGuest(() => undefined);
    const giveUp = new AbortController();
    const waiting = endEarlierSession(chardev(guest.path), giveUp.signal);
    await expect.poll(() => guest.clients.length).toBe(1);
    giveUp.abort(new Error('long enough'));
    await expect(waiting).rejects.toThrow('long enough');

    const cut = endEarlierSession(chardev(guest.path), new AbortController().signal);
    await expect.poll(() => guest.clients.length).toBe(2);
    guest.clients[1]?.destroy();
    await expect(cut).rejects.toMatchObject({ code: 'AGENT_LOST' });
  });
});
