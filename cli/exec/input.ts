import type { Duplex, Readable } from 'node:stream';
import {
  encodeExecFrame,
  execFrame,
  execMaxBody,
  execWindow,
} from '../../core/api/contract/exec-frames.ts';
import type { EscapeDetector } from './escape.ts';

export interface InputPump {
  /** The guest took that many bytes. */
  taken(bytes: number): void;
  stop(): void;
}

/**
 * Feeds standard input to the command. While a window's worth waits for a guest that does not read, we
 * do not read either, and so whoever writes to us is held up.
 */
export const pumpInput = (
  socket: Duplex,
  stdin: Readable,
  escape: { detector: EscapeDetector; onLeave: () => void } | undefined,
): InputPump => {
  let waiting = 0;
  const send = (type: number, body?: Uint8Array): void => {
    if (socket.writable) socket.write(encodeExecFrame(type, body));
  };
  const onData = (chunk: Buffer): void => {
    const { bytes, isLeaving } = escape?.detector.push(chunk) ?? { bytes: chunk, isLeaving: false };
    for (let at = 0; at < bytes.length; at += execMaxBody)
      send(execFrame.stdin, bytes.subarray(at, at + execMaxBody));
    waiting += bytes.length;
    if (waiting >= execWindow) stdin.pause();
    if (isLeaving) escape?.onLeave();
  };
  // A terminal that hung up (EIO) has no more to say than one that ended.
  const onEnd = (): void => {
    send(execFrame.stdinEnd);
  };
  stdin.on('data', onData).once('end', onEnd).once('error', onEnd);
  return {
    taken: (bytes) => {
      waiting -= bytes;
      if (waiting < execWindow && stdin.isPaused()) stdin.resume();
    },
    stop: () => {
      stdin.off('data', onData).off('end', onEnd).pause();
    },
  };
};
