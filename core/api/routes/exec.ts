import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import { BangerError, toBangerError } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import { runningGuest } from '../../lifecycle/guest-of.ts';
import type { ExecSession } from '../../plugin-api/services/guest.ts';
import {
  encodeExecFrame,
  execFrame,
  ExecFrameDecoder,
  execHeader,
  execMaxBody,
  execUpgrade,
  execWindow,
} from '../contract/exec-frames.ts';
import { execRequest } from '../contract/schemas.ts';
import { parseInput, statusOf } from '../errors.ts';
import { recoveredVm } from '../recovered-vm.ts';
import { whenClosed } from '../when-closed.ts';

const route = /^\/v1\/vms\/([^/]+)\/exec$/;

const refuse = (socket: Duplex, error: BangerError): void => {
  const body = JSON.stringify({ error: error.toBody() });
  socket.end(
    `HTTP/1.1 ${String(statusOf(error.code))} Refused\r\ncontent-type: application/json\r\n` +
      `content-length: ${String(Buffer.byteLength(body))}\r\nconnection: close\r\n\r\n${body}`,
  );
};

const readRequest = (request: IncomingMessage): unknown => {
  const header = request.headers[execHeader];
  if (typeof header !== 'string') return undefined;
  try {
    return JSON.parse(Buffer.from(header, 'base64url').toString('utf8'));
  } catch (error) {
    throw new BangerError('INPUT_INVALID', `${execHeader} is no base64url JSON`, { cause: error });
  }
};

type Send = (type: number, body: Uint8Array) => Promise<void>;

/**
 * Reads the client's frames as they come, so that signals and its end are seen at once; its input waits
 * here, within execWindow, until the guest takes it.
 */
const pump = async (
  socket: Duplex,
  head: Buffer,
  session: ExecSession,
  send: Send,
  onLost: (error: unknown) => void,
): Promise<void> => {
  const decoder = new ExecFrameDecoder();
  let waiting = 0;
  let feeding = Promise.resolve();
  const write = async (body: Buffer): Promise<void> => {
    await session.write(body);
    waiting -= body.length;
    const taken = Buffer.alloc(4);
    taken.writeUInt32BE(body.length);
    await send(execFrame.window, taken);
  };
  const then = (step: () => void | Promise<void>): void => {
    feeding = feeding.then(step).catch(onLost);
  };
  const feed = (chunk: Buffer): void => {
    for (const { type, body } of decoder.push(chunk)) {
      if (type === execFrame.stdin) {
        waiting += body.length;
        if (waiting > execWindow + execMaxBody)
          throw new RangeError('more input than the window has room for');
        then(() => write(body));
      } else if (type === execFrame.stdinEnd)
        then(() => {
          session.endInput();
        });
      else if (type === execFrame.signal && body.length === 1) session.signal(body.readUInt8(0));
      else if (type === execFrame.resize && body.length === 4)
        session.resize(body.readUInt16BE(0), body.readUInt16BE(2));
    }
  };
  feed(head);
  for await (const chunk of socket as AsyncIterable<Buffer>) feed(chunk);
};

/** Interactive commands: see contract/exec-frames.ts. */
export const execRoute = (
  server: Server,
  kernel: Kernel,
  isForeignBuild: (request: IncomingMessage) => Buffer | undefined,
): void => {
  const serve = async (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    name: string,
  ): Promise<void> => {
    const vm = await recoveredVm(kernel, name);
    const guest = runningGuest(kernel.registry, vm);
    const input = parseInput(execRequest, readRequest(request));
    const gone = new AbortController();
    whenClosed(socket, () => {
      gone.abort(new BangerError('OPERATION_CANCELLED', 'the client is gone'));
    });
    const send: Send = async (type, body) => {
      // After the last frame, too: input may still be taken then.
      if (!socket.writable) return;
      if (!socket.write(encodeExecFrame(type, body)))
        await once(socket, 'drain', { signal: gone.signal });
    };
    const session = await guest.exec(
      {
        argv: input.argv,
        env: input.env,
        stdin: input.stdin,
        ...(input.cwd === undefined ? {} : { cwd: input.cwd }),
        ...(input.user === undefined ? {} : { user: input.user }),
        ...(input.pty === undefined ? {} : { pty: input.pty }),
        onStdout: (chunk) => send(execFrame.stdout, chunk),
        onStderr: (chunk) => send(execFrame.stderr, chunk),
      },
      gone.signal,
    );
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${execUpgrade}\r\n\r\n`,
    );
    const pumping = pump(socket, head, session, send, (error) => {
      // Input of a session that is over is nobody's any more.
      kernel.log.debug({ vm: vm.name, err: error }, 'exec input lost');
    });
    try {
      const result = await session.result;
      const [kind, value] = result.kind === 'exit' ? [0, result.code] : [1, result.signal];
      socket.end(encodeExecFrame(execFrame.exit, Uint8Array.of(kind, value)));
    } catch (thrown) {
      const body = JSON.stringify(toBangerError(thrown).toBody());
      socket.end(encodeExecFrame(execFrame.error, Buffer.from(body)));
    }
    await pumping.catch((error: unknown) => {
      // Writing to a session that has ended, or a client that went away: both are the end.
      kernel.log.debug({ vm: vm.name, err: error }, 'exec input ended');
    });
  };

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', (error) => {
      kernel.log.debug({ err: error }, 'exec connection broke');
    });
    const foreign = isForeignBuild(request);
    if (foreign !== undefined) {
      socket.end(foreign);
      return;
    }
    const match = route.exec(request.url ?? '');
    if (match === null || request.headers.upgrade !== execUpgrade) {
      refuse(socket, new BangerError('INPUT_INVALID', 'no such call'));
      return;
    }
    serve(request, socket, head, decodeURIComponent(match[1] ?? '')).catch((thrown: unknown) => {
      const error = toBangerError(thrown);
      if (error.code === 'INTERNAL') kernel.log.error({ err: thrown }, 'exec failed');
      refuse(socket, error);
    });
  });
};
