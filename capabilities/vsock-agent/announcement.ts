// A guest's word that its agent is there: one connection from it, over vsock, to a port of the host.

import { chmod, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { deadlineSignal, type Logger } from '../../core/plugin-api/index.ts';

/** Waits so many milliseconds, or until the guest says that it is there. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>;

export interface Announcement extends AsyncDisposable {
  readonly pause: Pause;
}

/** So often it is believed: whoever is in the guest may say it without end, and would have the host ask without a pause. */
const wordsMax = 8;

/** The VMM may be another user; the folder above is the VM's alone. */
const socketMode = 0o666;

/**
 * Listens for it. A hint and no more: who is in the guest may give it at any time, and nothing that comes is read.
 * @param path of a unix socket, whose file somebody else's claim removes should this process not come to it
 */
export const listenForGuest = async (path: string, log: Logger): Promise<Announcement> => {
  let heard = new AbortController();
  let words = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined).destroy();
    if (++words <= wordsMax) heard.abort();
  });
  // One that cannot be accepted is one that was not heard.
  server.on('error', () => undefined);
  // Of a daemon that was killed.
  await rm(path, { force: true });
  server.listen(path);
  try {
    await once(server, 'listening');
    await chmod(path, socketMode);
  } catch (error) {
    // A path that is a few bytes too long for a socket, say: the pauses are as long as they are.
    log.debug({ err: error }, 'a guest cannot say that it is there');
  }
  return {
    pause: async (ms, signal) => {
      const over = deadlineSignal(ms, signal, heard.signal);
      if (!over.aborted) await once(over, 'abort');
      signal.throwIfAborted();
      // What was heard once is believed once.
      if (heard.signal.aborted) heard = new AbortController();
    },
    [Symbol.asyncDispose]: async () => {
      // It calls back also where it has not listened.
      await new Promise((resolve) => server.close(resolve));
      await rm(path, { force: true });
    },
  };
};
