import { createServer, type Server, type Socket } from 'node:net';

export interface Request {
  readonly method: string;
  readonly path: string;
  /** Absent where the request has none: what is sent in chunks is none to Firecracker. */
  readonly body: string | undefined;
}

export interface Answer {
  readonly status: 200 | 204 | 400;
  readonly body?: string;
  /** Done when it has been written. */
  readonly after?: () => void;
}

/** MAX_PAYLOAD_SIZE, BUFFER_SIZE and MAX_CONNECTIONS of micro-http, the server in Firecracker. */
const maxBody = 51_200;
const maxLine = 1024;
const maxConnections = 10;

const headOf = ({ status, body }: Answer): string =>
  [
    `HTTP/1.1 ${String(status)} `,
    'Server: Firecracker API',
    'Connection: keep-alive',
    ...(body === undefined
      ? []
      : ['Content-Type: application/json', `Content-Length: ${String(Buffer.byteLength(body))}`]),
    '',
    '',
  ].join('\r\n');

/** What cannot be read has an answer of another shape, with a line break in its string: server.rs. */
const unreadable = (why: string): Answer => ({
  status: 400,
  body: `{ "error": "${why}\nAll previous unanswered requests will be dropped." }`,
});

class Unreadable extends Error {}

interface Head {
  readonly method: string;
  readonly path: string;
  readonly length: number;
}

const parseHead = (text: string): Head => {
  const [first = '', ...headers] = text.split('\r\n');
  const [, method, path] = /^(GET|PUT|PATCH|DELETE) (\S+) HTTP\/1\.[01]$/.exec(first) ?? [];
  if (method === undefined || path === undefined) throw new Unreadable('Invalid request.');
  let length = 0;
  for (const header of headers) {
    const at = header.indexOf(':');
    const [name, value] = [header.slice(0, at).toLowerCase(), header.slice(at + 1).trim()];
    if (at < 0)
      throw new Unreadable(
        `Invalid header. Reason: Header is incorrectly formatted. Key: ${header}`,
      );
    if (name === 'content-length') length = Number(value);
    if (name === 'content-type' && value !== 'application/json' && value !== 'text/plain')
      throw new Unreadable(
        `Invalid header. Reason: Unsupported value. Key:Content-Type; Value: ${value}`,
      );
  }
  if (length > maxBody)
    throw new Unreadable(
      `Request payload with size ${String(length)} is larger than the limit of ${String(maxBody)} allowed by server.`,
    );
  return { method, path, length };
};

/** Requests out of what has come; the rest is kept. */
const cut = (buffered: Buffer): { request: Request; rest: Buffer } | undefined => {
  const end = buffered.indexOf('\r\n\r\n');
  if (end < 0) {
    if (buffered.length - Math.max(0, buffered.lastIndexOf('\r\n')) > maxLine)
      throw new Unreadable('Invalid request.');
    return undefined;
  }
  const { method, path, length } = parseHead(buffered.subarray(0, end).toString('latin1'));
  const from = end + 4;
  if (buffered.length < from + length) return undefined;
  const body = length === 0 ? undefined : buffered.subarray(from, from + length).toString();
  return { request: { method, path, body }, rest: buffered.subarray(from + length) };
};

/** Firecracker's HTTP server: less than HTTP, and what it lacks is what a client must not use. */
export const createApiServer = (serve: (request: Request) => Promise<Answer>): Server => {
  const sockets = new Set<Socket>();
  return createServer((socket) => {
    socket.on('error', () => undefined);
    if (sockets.size === maxConnections) {
      const body = '{ "error": "Too many open connections" }';
      socket.end(
        `HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`,
      );
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    let buffered: Buffer = Buffer.alloc(0);
    let working = Promise.resolve();
    const next = async (): Promise<void> => {
      try {
        for (let found = cut(buffered); found !== undefined; found = cut(buffered)) {
          buffered = found.rest;
          const answer = await serve(found.request);
          socket.write(headOf(answer) + (answer.body ?? ''), answer.after);
        }
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
        const answer = unreadable(error.message);
        socket.end(headOf(answer) + (answer.body ?? ''));
      }
    };
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      working = working.then(next);
    });
  });
};
