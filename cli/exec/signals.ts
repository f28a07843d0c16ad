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

/** How long a command has that can't hear us, or whose terminal is gone, milliseconds. */
const graceMs = 2_000;

/**
 * What ends us ends the command instead, whose exit code then is ours. Signals travel behind the input:
 * where the guest does not read that, they can't arrive, and leaving is what ends the command.
 * @returns stops it
 */
export const forwardSignals = (
  socket: Duplex,
  onLeave: (exitCode: number) => void,
): (() => void) => {
  const counts = new Map<Forwarded, number>();
  let grace: NodeJS.Timeout | undefined;
  const onSignal = (signal: Forwarded): void => {
    const number = constants.signals[signal];
    const count = (counts.get(signal) ?? 0) + 1;
    counts.set(signal, count);
    const isStuck = socket.writableNeedDrain;
    if (socket.writable) socket.write(encodeExecFrame(execFrame.signal, Uint8Array.of(number)));
    if (count >= patience[signal]) onLeave(128 + number);
    else if (isStuck || signal === 'SIGHUP')
      grace ??= setTimeout(() => {
        if (signal === 'SIGHUP' || socket.writableNeedDrain) onLeave(128 + number);
      }, graceMs);
  };
  for (const signal of forwarded) process.on(signal, onSignal);
  return () => {
    clearTimeout(grace);
    for (const signal of forwarded) process.off(signal, onSignal);
  };
};
