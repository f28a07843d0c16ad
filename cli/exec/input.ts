import type { Duplex, Readable } from 'node:stream';
import { encodeExecFrame, execFrame, execMaxBody } from '../../core/api/contract/exec-frames.ts';
import type { EscapeDetector } from './escape.ts';

/**
 * Feeds standard input to the command. A guest that does not read fills the socket; then we stop
 * reading too, and so does whoever writes to us.
 * @returns stops it
 */
export const pumpInput = (
  socket: Duplex,
  stdin: Readable,
  escape: { detector: EscapeDetector; onLeave: () => void } | undefined,
): (() => void) => {
  const send = (type: number, body?: Uint8Array): void => {
    if (!socket.writable || socket.write(encodeExecFrame(type, body))) return;
    stdin.pause();
  };
  const onData = (chunk: Buffer): void => {
    const { bytes, isLeaving } = escape?.detector.push(chunk) ?? { bytes: chunk, isLeaving: false };
    for (let at = 0; at < bytes.length; at += execMaxBody)
      send(execFrame.stdin, bytes.subarray(at, at + execMaxBody));
    if (isLeaving) escape?.onLeave();
  };
  const onDrain = (): void => {
    stdin.resume();
  };
  // A terminal that hung up (EIO) has no more to say than one that ended.
  const onEnd = (): void => {
    send(execFrame.stdinEnd);
  };
  socket.on('drain', onDrain);
  stdin.on('data', onData).once('end', onEnd).once('error', onEnd);
  return () => {
    socket.off('drain', onDrain);
    stdin.off('data', onData).off('end', onEnd).pause();
  };
};
