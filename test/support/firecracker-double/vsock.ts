import { connect, createServer, type Server, type Socket } from 'node:net';

/** How long a request may be: `CONNECT 4294967295\n` and some. */
const maxLine = 32;
/** The first port of ours that a guest is told of: LOCAL_PORT of muxer.rs begins there, too. */
const firstLocalPort = 1 << 30;

/** The agent's own, of the host: ANNOUNCE_PORT of wire.h. */
const announcePort = 1025;

/**
 * What the guest's agent does when it listens, and its driver for vsock would have told us of: a connection to a port of
 * the host, which Firecracker leads to a socket of that name, where there is one (docs/vsock.md in its source).
 */
export const announce = (path: string): void => {
  const socket = connect(`${path}_${String(announcePort)}`);
  socket.on('error', () => undefined);
  socket.once('connect', () => socket.destroy());
};

/**
 * Firecracker's vsock socket: `CONNECT PORT`, `OK n`, then a stream. One that nobody takes in the guest is closed.
 * @param ports the sockets of ports that somebody in the guest has open
 */
export const createVsock = (port: number, ports: () => readonly string[]): Server => {
  const taken = new Set<string>();
  let local = firstLocalPort;

  const bridge = (host: Socket, rest: Buffer): void => {
    const path = ports().find((each) => !taken.has(each));
    if (path === undefined) {
      host.destroy();
      return;
    }
    taken.add(path);
    const guest = connect(path);
    const end = (): void => {
      host.destroy();
      guest.destroy();
    };
    guest.once('close', () => {
      taken.delete(path);
      end();
    });
    host.once('close', end);
    guest.on('error', end);
    guest.once('connect', () => {
      host.write(`OK ${String(local++)}\n`);
      if (rest.length > 0) guest.write(rest);
      host.pipe(guest);
      guest.pipe(host);
    });
  };

  return createServer((host) => {
    host.on('error', () => undefined);
    let begun: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      begun = Buffer.concat([begun, chunk]);
      const end = begun.indexOf('\n');
      if (end < 0 && begun.length < maxLine) return;
      host.off('data', onData).pause();
      if (begun.subarray(0, end).toString('latin1') === `CONNECT ${String(port)}`)
        bridge(host, begun.subarray(end + 1));
      else host.destroy();
    };
    host.on('data', onData);
  });
};
