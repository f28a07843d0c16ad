import { spawn } from 'node:child_process';
import type { ExecResult, Guest } from '../../../../core/plugin-api/index.ts';

/** How a command gets to where it runs. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/**
 * A guest that is a folder of this machine: commands are run as the agent would run them. Only the way there is
 * another one.
 */
export const localGuest = (home: string, env: Readonly<Record<string, string>> = {}): Guest =>
  guestBy(([file = '', ...args], cwd) => ({
    file,
    args,
    cwd: cwd ?? home,
    env: { PATH: process.env['PATH'], HOME: home, USER: 'root', TMPDIR: home, ...env },
  }));

const notAsked = (): Promise<never> => Promise.reject(new Error('not asked'));

/** A guest whose commands are processes of this machine, whatever these do. */
export const guestBy = (
  launch: (argv: readonly string[], cwd: string | undefined) => Launch,
): Guest => ({
  exec: (options, signal) => {
    const { file, args, env, cwd } = launch(options.argv, options.cwd);
    const child = spawn(file, args, { cwd, env, stdio: 'pipe' });
    child.stdin.on('error', () => undefined);
    if (!options.stdin) child.stdin.end();
    const result = new Promise<ExecResult>((resolve, reject) => {
      const fail = (error: unknown): void => {
        child.kill('SIGKILL');
        reject(error instanceof Error ? error : new Error(String(error)));
      };
      const onAbort = (): void => {
        fail(signal.reason);
      };
      signal.addEventListener('abort', onAbort);
      child.once('close', () => {
        signal.removeEventListener('abort', onAbort);
      });
      const pump = async (
        stream: AsyncIterable<Buffer>,
        sink: (chunk: Buffer) => void | Promise<void>,
      ): Promise<void> => {
        for await (const chunk of stream) await sink(chunk);
      };
      const ended = new Promise<ExecResult>((done) => {
        child.once('close', (code) => {
          done({ kind: 'exit', code: code ?? 255 });
        });
      });
      Promise.all([
        pump(child.stdout, (chunk) => options.onStdout(chunk)),
        pump(child.stderr, (chunk) => options.onStderr(chunk)),
        ended,
      ]).then(([, , how]) => {
        resolve(how);
      }, fail);
    });
    return Promise.resolve({
      write: (chunk) =>
        new Promise<void>((resolve) => {
          child.stdin.write(chunk, () => {
            resolve();
          });
        }),
      endInput: () => {
        child.stdin.end();
      },
      signal: () => undefined,
      resize: () => undefined,
      result,
    });
  },
  health: notAsked,
  stats: notAsked,
  ports: notAsked,
  log: notAsked,
  put: notAsked,
  get: notAsked,
  tar: notAsked,
  untar: notAsked,
  grow: notAsked,
  renew: notAsked,
  shutdown: notAsked,
});
