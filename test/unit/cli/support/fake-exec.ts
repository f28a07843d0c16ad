import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import {
  encodeExecFrame,
  execFrame,
  ExecFrameDecoder,
  execUpgrade,
} from '../../../../core/api/contract/exec-frames.ts';
import type { ExecRequest } from '../../../../core/api/contract/types.ts';

export interface ExecState {
  readonly request: ExecRequest;
  readonly sizes: { rows: number; columns: number }[];
  stdinBytes: number;
  isGone: boolean;
  kill(): void;
  /** As when the daemon is killed: no last frame. */
  cut(): void;
}

/** A "guest" whose commands are process groups of this host. */
export const serveExec = (socket: Duplex, head: Buffer, request: ExecRequest): ExecState => {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${execUpgrade}\r\n\r\n`,
  );
  const [file = '', ...args] = request.argv;
  const child = spawn(file, args, {
    detached: true,
    stdio: 'pipe',
    env: { PATH: process.env['PATH'], ...request.env },
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
  });
  const signalGroup = (signal: number): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal);
  };
  const state: ExecState = {
    request,
    sizes: request.pty === undefined ? [] : [request.pty],
    stdinBytes: 0,
    isGone: false,
    kill: () => {
      signalGroup(constants.signals.SIGKILL);
    },
    cut: () => {
      socket.destroy();
    },
  };
  if (request.stdin === false) child.stdin.end();
  // A command that ended before its input did.
  child.stdin.on('error', () => undefined);

  const decoder = new ExecFrameDecoder();
  const receive = (chunk: Buffer): void => {
    for (const { type, body } of decoder.push(chunk)) {
      if (type === execFrame.stdin) {
        state.stdinBytes += body.length;
        // What a command that ended leaves is dropped, as by the real daemon.
        child.stdin.write(body, () => {
          const taken = Buffer.alloc(4);
          taken.writeUInt32BE(body.length);
          if (socket.writable) socket.write(encodeExecFrame(execFrame.window, taken));
        });
      } else if (type === execFrame.stdinEnd) child.stdin.end();
      else if (type === execFrame.signal) signalGroup(body.readUInt8(0));
      else if (type === execFrame.resize)
        state.sizes.push({ rows: body.readUInt16BE(0), columns: body.readUInt16BE(2) });
    }
  };
  receive(head);
  socket.on('data', receive);
  for (const [stream, type] of [
    [child.stdout, execFrame.stdout],
    [child.stderr, execFrame.stderr],
  ] as const) {
    stream.on('data', (chunk: Buffer) => {
      if (socket.destroyed || socket.write(encodeExecFrame(type, chunk))) return;
      stream.pause();
      socket.once('drain', () => stream.resume());
    });
  }
  child.once('close', (code, signal) => {
    const end = signal === null ? [0, code ?? 0] : [1, constants.signals[signal]];
    socket.end(encodeExecFrame(execFrame.exit, Uint8Array.from(end)));
  });
  socket.on('error', () => undefined);
  // A client that ends its side is gone, as in the real daemon.
  socket.once('end', () => socket.destroy());
  socket.once('close', () => {
    state.isGone = true;
    state.kill();
  });
  return state;
};
