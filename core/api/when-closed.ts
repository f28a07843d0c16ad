import type { Duplex } from 'node:stream';

/** Calls once a client's connection is closed, also where that was while its request waited for something. */
export const whenClosed = (socket: Duplex, then: () => void): void => {
  if (socket.closed) then();
  else socket.once('close', then);
};
