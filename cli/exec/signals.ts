import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { encodeExecFrame, execFrame } from '../../core/api/contract/exec-frames.ts';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
type Forwarded = (typeof forwarded)[number];

/** How often one may ask before we take it that the command does not listen. */
const patience: Readonly<Record<Forwarded, number>> = {
  SIGINT: 3,
  SIGTERM: 2,
  SIGHUP: 2,
  SIGQUIT: 3,
};

/** How long a command has whose terminal is gone, milliseconds. */
const hangUpMs = 2_000;

/** What ends us ends the command instead, whose exit code then is ours. @returns stops it */
export const forwardSignals = (
  socket: Duplex,
  onLeave: (exitCode: number) => void,
): (() => void) => {
  const counts = new Map<Forwarded, number>();
  let hangUp: NodeJS.Timeout | undefined;
  const onSignal = (signal: Forwarded): void => {
    const number = constants.signals[signal];
    const count = (counts.get(signal) ?? 0) + 1;
    counts.set(signal, count);
    if (socket.writable) socket.write(encodeExecFrame(execFrame.signal, Uint8Array.of(number)));
    const leave = (): void => {
      onLeave(128 + number);
    };
    if (count >= patience[signal]) leave();
    else if (signal === 'SIGHUP') hangUp ??= setTimeout(leave, hangUpMs);
  };
  for (const signal of forwarded) process.on(signal, onSignal);
  return () => {
    clearTimeout(hangUp);
    for (const signal of forwarded) process.off(signal, onSignal);
  };
};
