// Streams to a guest: how each VMM offers them on the host.

import { connect as connectSocket, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { deadlineSignal } from '../../core/plugin-api/index.ts';
import { AgentError } from './agent-error.ts';

export type Connect = (signal: AbortSignal) => Promise<Duplex>;

/** QEMU: a virtio-serial port's chardev. One client at a time. */
export function chardev(path: string): Connect {
  return (signal) => connectUnix(path, signal);
}

/** How long a guest may take to accept a stream. One that boots does when its driver is up, one that halts never. */
const ACCEPT_MS = 60_000;

/** Firecracker (and vhost-device-vsock): `CONNECT port`, `OK n`, then raw bytes. */
export function firecrackerVsock(path: string, port: number, acceptMs = ACCEPT_MS): Connect {
  return async (signal) => {
    const socket = await connectUnix(path, signal);
    try {
      // In one write: it is parsed as one.
      socket.write(`CONNECT ${port}\n`);
      const answer = await readLine(socket, deadlineSignal(acceptMs, signal)).catch(
        (error: unknown) => {
          signal.throwIfAborted();
          if (error instanceof AgentError) throw error;
          throw unreachable(path, `the guest accepts no stream in ${acceptMs} ms`);
        },
      );
      if (!answer.startsWith('OK ')) throw unreachable(path, `answered ${JSON.stringify(answer)}`);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

function unreachable(path: string, cause: unknown): AgentError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AgentError('AGENT_UNREACHABLE', `${path}: ${why}`, { cause });
}

function connectUnix(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = connectSocket({ path });
    const settle = (then: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      then();
    };
    const onError = (error: Error): void => settle(() => reject(unreachable(path, error)));
    const onAbort = (): void => {
      socket.destroy();
      settle(() => reject(signal.reason));
    };
    socket.once('error', onError);
    signal.addEventListener('abort', onAbort);
    socket.once('connect', () => settle(() => resolve(socket)));
  });
}

const LINE_MAX = 32;

/** Byte-wise: what follows the line belongs to the session. */
function readLine(socket: Socket, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = '';
    const settle = (then: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('readable', onReadable).off('error', onEnd).off('close', onEnd);
      then();
    };
    const onAbort = (): void => settle(() => reject(signal.reason));
    const onEnd = (error?: unknown): void =>
      settle(() => reject(unreachable('vsock', error instanceof Error ? error : 'closed')));
    const onReadable = (): void => {
      for (;;) {
        const byte: unknown = socket.read(1);
        if (!Buffer.isBuffer(byte)) return;
        if (byte[0] === 0x0a) return settle(() => resolve(line));
        line += byte.toString('latin1');
        if (line.length > LINE_MAX) return onEnd(new Error('too long an answer'));
      }
    };
    signal.addEventListener('abort', onAbort);
    socket.on('readable', onReadable).on('error', onEnd).on('close', onEnd);
  });
}
