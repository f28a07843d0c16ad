import { connect } from 'node:net';

/** How long a server may take to say that it speaks HTTP, milliseconds: an emulated guest is slow. */
const probeMs = 2_000;

/** RFC 9112 §4: a status line begins so, and no other protocol's greeting does. */
const isHttp = (head: Buffer): boolean => /^HTTP\/1\.[01] [1-5]\d\d/.test(head.toString('latin1'));
const headBytes = 12;

/**
 * Whether HTTP answers there. The host asks over the network, as a browser would, so that a yes means that a browser
 * gets there, too. `address` is the one that we have leased to the guest, never one that the guest has named. It is one
 * HEAD of the root; of what comes back no more than the beginning is looked at, and nothing kept.
 */
export const speaksHttp = (address: string, port: number, signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let head = Buffer.alloc(0);
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      socket.destroy();
      resolve(isHttp(head));
    };
    const timer = setTimeout(end, probeMs);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    socket
      .on('connect', () => {
        socket.write(
          `HEAD / HTTP/1.1\r\nHost: ${address}:${String(port)}\r\nUser-Agent: banger\r\nConnection: close\r\n\r\n`,
        );
      })
      .on('data', (chunk: Buffer) => {
        head = Buffer.concat([head, chunk.subarray(0, headBytes)]);
        if (head.length >= headBytes) end();
      })
      .on('error', end)
      .on('close', end);
  });
