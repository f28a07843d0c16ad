import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { deadlineSignal } from '../../core/deadline.ts';
import { Client, type ClientChannel } from 'ssh2';

export interface Outcome {
  /** 128 + n where signal n ended the command. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Default: five minutes, since Node is 5 to 20 times slower in there. */
  readonly timeoutMs?: number;
}

export interface Streams {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** ssh2 gives them their `SIG`, which RFC 4254 §6.10 leaves out. */
const signalNumber = (name: string): number =>
  Object.entries(constants.signals).find(([known]) => known === name)?.[1] ?? 0;

/** sshd gives the command to the login shell as text. */
export const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

const commandLine = (argv: readonly string[], { env = {}, cwd }: RunOptions): string =>
  [
    ...(cwd === undefined ? [] : ['cd', quote(cwd), '&&']),
    'exec',
    'env',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...Object.entries(env).map(([name, value]) => quote(`${name}=${value}`)),
    ...argv.map(quote),
  ].join(' ');

export interface SessionOptions {
  readonly port: number;
  readonly privateKey: string;
  /** A line as in `ssh_host_ed25519_key.pub`. */
  readonly hostKey: string;
  /** How long the host may take to let us in, milliseconds. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A host's sshd, on one connection. */
export class Session {
  readonly #client: Client;
  readonly #closed: Promise<void>;

  private constructor(client: Client) {
    this.#client = client;
    this.#closed = new Promise((resolve) => client.once('close', resolve));
    // 'close' follows, and tells whoever waits for a command.
    client.on('error', () => undefined);
  }

  /** Tries until the host is up. @throws Error at the deadline, or when `signal` aborts */
  static async open(options: SessionOptions): Promise<Session> {
    const deadline = performance.now() + options.deadlineMs;
    for (;;) {
      options.signal.throwIfAborted();
      const client = await connect(options).catch((error: unknown) => error);
      if (client instanceof Client) return new Session(client);
      if (performance.now() > deadline)
        throw new Error('the test host does not let us in', { cause: client });
      await delay(50, undefined, { signal: options.signal });
    }
  }

  /** Runs a command as root. @throws Error where it does not end in time, or the host goes away */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const { input = '', timeoutMs = 300_000 } = options;
    const channel = await this.#exec(argv, options);
    const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    channel.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
    channel.stderr.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
    channel.end(input);
    const said = () => ({
      stdout: Buffer.concat(chunks.stdout).toString('utf8'),
      stderr: Buffer.concat(chunks.stderr).toString('utf8'),
    });
    const late = deadlineSignal(timeoutMs);
    const code = await this.#codeOf(channel, late).catch((error: unknown) => {
      const { stdout, stderr } = said();
      throw new Error(`${argv.join(' ')}: no end\n${stdout}${stderr}`, { cause: error });
    });
    return { code, ...said() };
  }

  /** Runs a command on the given streams. @returns its exit code */
  async stream(
    argv: readonly string[],
    streams: Streams,
    options: RunOptions = {},
  ): Promise<number> {
    const channel = await this.#exec(argv, options);
    channel.pipe(streams.stdout, { end: false });
    channel.stderr.pipe(streams.stderr, { end: false });
    streams.stdin.pipe(channel);
    try {
      return await this.#codeOf(channel);
    } finally {
      streams.stdin.unpipe(channel);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #exec(argv: readonly string[], options: RunOptions): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      this.#client.exec(commandLine(argv, options), (error, channel) => {
        if (error === undefined) resolve(channel);
        else reject(error);
      });
    });
  }

  #codeOf(channel: ClientChannel, late?: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      // Not 'exit': of a command that ends at once it is over before anyone can listen. 'close' waits until
      // the output was read, and has what 'exit' had, or nothing where the connection broke.
      channel.once('close', (code?: number | null, signal = '') => {
        if (code === undefined) reject(new Error('the test host went away'));
        else resolve(code ?? 128 + signalNumber(signal));
      });
      late?.addEventListener('abort', () => {
        channel.destroy();
        reject(late.reason as Error);
      });
      void this.#closed.then(() => {
        reject(new Error('the test host went away'));
      });
    });
  }
}

const connect = ({ port, privateKey, hostKey }: SessionOptions): Promise<Client> =>
  new Promise((resolve, reject) => {
    const client = new Client();
    const expected = Buffer.from(hostKey.split(' ')[1] ?? '', 'base64');
    client
      .once('ready', () => {
        resolve(client);
      })
      .on('error', (error) => {
        client.destroy();
        reject(error);
      })
      .once('close', () => {
        reject(new Error('the connection was closed'));
      })
      .connect({
        host: '127.0.0.1',
        port,
        username: 'root',
        privateKey,
        hostVerifier: (key: Buffer) => key.equals(expected),
        // QEMU accepts at once, whether or not anyone listens inside.
        readyTimeout: 15_000,
        // One that answers nothing for two minutes is gone.
        keepaliveInterval: 15_000,
        keepaliveCountMax: 8,
        algorithms: { serverHostKey: ['ssh-ed25519'] },
      });
  });
