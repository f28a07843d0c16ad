import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { World } from './world.ts';

/** Waits until the output since the last step matches, then types. */
export interface Step {
  readonly expect: RegExp;
  readonly send: string;
}

/**
 * Runs `banger ARGS…` on a pseudo-terminal of 31 rows and 97 columns, which Node cannot make: Python's
 * standard library can.
 */
export const inTerminal = (
  world: World,
  args: readonly string[],
  steps: readonly Step[],
  deadlineMs = 120_000,
): Promise<{ code: number; output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn('python3', ['-c', bridge, join(world.product, 'bin', 'banger'), ...args], {
      env: { ...world.env, TERM: 'vt220' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    let unread = '';
    const left = [...steps];
    const timer = setTimeout(() => {
      // The bridge closes the terminal with itself, which hangs up on banger.
      child.kill('SIGTERM');
      reject(new Error(`not on the terminal: ${String(left[0]?.expect ?? 'the end')}\n${output}`));
    }, deadlineMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      unread += text;
      const next = left[0];
      if (next === undefined || !next.expect.test(unread)) return;
      left.shift();
      unread = '';
      child.stdin.write(next.send);
    });
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      if (left[0] === undefined) resolve({ code: code ?? -1, output });
      else reject(new Error(`ended before ${String(left[0].expect)}\n${output}`));
    });
  });

/** Copies between its own streams and a child on a terminal; exits as the child does. */
const bridge = `
import fcntl, os, pty, select, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    # Its size must be there before the child looks.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 31, 97, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
sources = [0, terminal]
while True:
    ready, _, _ = select.select(sources, [], [])
    for source in ready:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b''
        if source == 0:
            if data: os.write(terminal, data)
            else: sources.remove(0)
        elif data:
            os.write(1, data)
        else:
            _, status = os.waitpid(pid, 0)
            sys.exit(os.waitstatus_to_exitcode(status) & 255)
`;
