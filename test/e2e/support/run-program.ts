import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { buffer, text } from 'node:stream/consumers';

export interface Outcome {
  /** 128 + n where signal n ended the program, as a shell tells it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output that is no text. */
  readonly bytes: Buffer;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. @throws Error where it does not end within the time */
export const runProgram = async (
  program: string,
  args: readonly string[],
  { input = '', env, cwd, timeoutMs = 280_000 }: RunOptions,
): Promise<Outcome> => {
  const child = spawn(program, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  // A program may end without reading what it was given.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    child.kill('SIGKILL');
  }, timeoutMs);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
  try {
    const [bytes, stderr, code] = await Promise.all([
      buffer(child.stdout),
      text(child.stderr),
      ended,
    ]);
    if (late.signal.aborted)
      throw new Error(
        `${[program, ...args].join(' ')}: no end within ${timeoutMs / 1000} s\n${stderr}`,
      );
    return { code, stdout: bytes.toString('utf8'), stderr, bytes };
  } finally {
    clearTimeout(timer);
  }
};
