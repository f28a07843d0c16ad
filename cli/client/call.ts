import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorBody } from '../../core/errors.ts';
import { CliError, codeOf, errorOf } from '../error.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** One request on the unix socket; `banger-client-build` lets the daemon refuse a foreign build's. */
const begin = (socketPath: string, buildId: string, call: Call): ClientRequest => {
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  const outgoing = request({
    socketPath,
    method: call.method,
    path: call.path,
    agent: false,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
    headers: {
      'banger-client-build': buildId,
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...call.headers,
    },
  });
  outgoing.end(body);
  return outgoing;
};

export const openCall = (
  socketPath: string,
  buildId: string,
  call: Call,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    begin(socketPath, buildId, call).once('response', resolve).once('error', reject);
  });

/** A call that turns into a two-way stream, or the answer that says why not. */
export const upgradeCall = (
  socketPath: string,
  buildId: string,
  call: Call,
): Promise<Duplex | IncomingMessage> =>
  new Promise((resolve, reject) => {
    begin(socketPath, buildId, call)
      .once('upgrade', (_response, socket, head) => {
        socket.unshift(head);
        resolve(socket);
      })
      .once('response', resolve)
      .once('error', reject);
  });

/** No daemon listens: it was never started, or it died and left its socket file. */
export const isNoDaemon = (error: unknown): boolean =>
  ['ENOENT', 'ECONNREFUSED'].includes(codeOf(error) ?? '');

/** The daemon went away in the middle. */
export const isCut = (error: unknown): boolean =>
  ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(codeOf(error) ?? '');

/** A failed connection, told so that its reader can act on it. */
export const explain = (error: unknown, socketPath: string): unknown => {
  if (codeOf(error) === 'EACCES') {
    return new CliError({
      code: 'PERMISSION_DENIED',
      message: `no permission to open ${socketPath}`,
      remedy: 'That daemon is another user’s; run as that user, or set BANGER_RUNTIME_DIR.',
    });
  }
  if (isCut(error)) {
    return new CliError({
      code: 'DAEMON_UNREACHABLE',
      message: 'the connection to the daemon was cut',
      remedy: 'Run the command again; `banger daemon logs` may tell why.',
    });
  }
  return error;
};

export const readJson = async (response: IncomingMessage): Promise<unknown> => {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response as AsyncIterable<string>) text += chunk;
  return text === '' ? {} : JSON.parse(text);
};

/** @throws CliError what the daemon says went wrong */
export const assertOk = async (response: IncomingMessage): Promise<void> => {
  const status = response.statusCode ?? 500;
  if (status < 400) return;
  // Node's own answer to too long a header has no body of ours (RFC 6585 §5).
  if (status === 431) {
    throw new CliError({
      code: 'INPUT_INVALID',
      message: 'the command is too long to send',
      remedy: 'Send it through standard input instead, for example to `sh -s`.',
    });
  }
  if (status === 421) {
    throw new CliError({
      code: 'DAEMON_UNREACHABLE',
      message: 'the daemon that this banger starts is of another build than itself',
      remedy: 'Build both again: npm run build.',
    });
  }
  const { error } = (await readJson(response)) as { error?: ErrorBody };
  throw error === undefined
    ? new CliError({
        code: 'DAEMON_UNREACHABLE',
        message: `the daemon answered ${String(status)}`,
        remedy: 'See `banger daemon logs`.',
      })
    : errorOf(error);
};
