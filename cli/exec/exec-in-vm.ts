import { ReadStream } from 'node:tty';
import { encodeExecFrame, execFrame } from '../../core/api/contract/exec-frames.ts';
import type { ExecRequest } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { interruptedError } from '../error.ts';
import { EscapeDetector } from './escape.ts';
import { pumpInput } from './input.ts';
import { writeOutput } from './output.ts';
import { forwardSignals } from './signals.ts';
import { enterRawMode } from './terminal.ts';

export interface GuestCommand {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  /** Undefined: where standard input and output are terminals. */
  readonly hasTty?: boolean | undefined;
  readonly hasStdin?: boolean;
}

/** The shell that root logs in with, where the image has one. */
export const loginShell = [
  '/bin/sh',
  '-c',
  'if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi',
];

/** Runs a command in a guest as if it ran here. @returns its exit code */
export const execInVm = async (cli: Cli, vm: string, command: GuestCommand): Promise<number> => {
  const isTerminal = cli.stdinIsTerminal && cli.stdoutIsTerminal;
  const hasPty = command.hasTty ?? isTerminal;
  const hasStdin = command.hasStdin ?? true;
  const socket = await cli.client.exec(vm, requestOf(cli, command, hasPty, hasStdin));
  const leaving = new AbortController();
  const leave = (exitCode?: number): void => {
    const remedy = 'The daemon ends it; see `banger vm exec NAME -- ps` where in doubt.';
    leaving.abort(interruptedError('left the command', remedy, exitCode));
    socket.destroy();
  };
  // Read where the answer is read; without a listener it would be thrown.
  socket.on('error', () => undefined);
  cli.outBroken.addEventListener('abort', () => socket.destroy());

  const isRaw = hasPty && isTerminal && process.stdin instanceof ReadStream;
  const terminal = isRaw ? enterRawMode(process.stdin) : undefined;
  terminal?.onResize(() => {
    const { rows, columns } = terminal.size();
    const body = Buffer.alloc(4);
    body.writeUInt16BE(rows, 0);
    body.writeUInt16BE(columns, 2);
    if (socket.writable) socket.write(encodeExecFrame(execFrame.resize, body));
  });
  const stopSignals = forwardSignals(socket, leave);
  const escape = isRaw ? { detector: new EscapeDetector(), onLeave: leave } : undefined;
  const input = hasStdin ? pumpInput(socket, process.stdin, escape) : undefined;
  try {
    return await writeOutput(cli, socket, leaving.signal, (bytes) => {
      input?.taken(bytes);
    });
  } finally {
    stopSignals();
    input?.stop();
    terminal?.restore();
    socket.destroy();
  }
};

const requestOf = (
  cli: Cli,
  command: GuestCommand,
  hasPty: boolean,
  hasStdin: boolean,
): ExecRequest => {
  const ofTerminal = Object.fromEntries(
    ['TERM', 'COLORTERM'].flatMap((name) => {
      const value = cli.env[name];
      return hasPty && value !== undefined ? [[name, value]] : [];
    }),
  );
  return {
    argv: [...command.argv],
    env: { ...ofTerminal, ...command.env },
    stdin: hasStdin,
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.user === undefined ? {} : { user: command.user }),
    // A terminal that was asked for where we have none gets the size of old.
    ...(hasPty
      ? { pty: { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 } }
      : {}),
  };
};
