import { serviceRef } from '../../capability.ts';

export interface GuestHealth {
  /** The agent's version. */
  readonly agent: string;
  readonly hostname: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly uptimeMs: number;
  readonly init: string;
}

export interface ExecOptions {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** In the guest: a name, UID or UID:GID; root where absent. */
  readonly user?: string;
  readonly pty?: { readonly rows: number; readonly columns: number };
  /** False: the command's standard input is empty. */
  readonly stdin: boolean;
  /** Awaited before more is read: the back-pressure towards the guest. */
  onStdout(chunk: Buffer): void | Promise<void>;
  onStderr(chunk: Buffer): void | Promise<void>;
}

export type ExecResult =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: number };

export interface ExecSession {
  /** Resolves when the guest has room for more. */
  write(chunk: Uint8Array): Promise<void>;
  endInput(): void;
  signal(signal: number): void;
  resize(rows: number, columns: number): void;
  readonly result: Promise<ExecResult>;
}

/** What the guest says of itself. All times are since its boot; all sizes are bytes. */
export interface GuestStats {
  readonly uptimeMs: number;
  readonly memory: {
    readonly totalBytes: number;
    /** What new work may take without swapping: MemAvailable of /proc/meminfo. */
    readonly availableBytes: number;
    readonly swapTotalBytes: number;
    readonly swapFreeBytes: number;
  };
  /** Averages of 1, 5 and 15 minutes. */
  readonly load: readonly [number, number, number];
  /** Of all its CPUs together. */
  readonly cpu: { readonly count: number; readonly busyMs: number; readonly totalMs: number };
  readonly processes: number;
  /** Established TCP connections with another machine, whoever began them. */
  readonly connections: number;
  /** `/`, and `/root` where that is a disk of its own. */
  readonly filesystems: readonly {
    readonly mount: string;
    readonly sizeBytes: number;
    readonly usedBytes: number;
    readonly availableBytes: number;
  }[];
}

export interface ListeningPort {
  readonly protocol: 'tcp' | 'udp';
  /** IPv4 or IPv6, as the guest has bound it: `0.0.0.0` and `::` are all of its addresses. */
  readonly address: string;
  readonly port: number;
  /** Null where the guest does not know. */
  readonly pid: number | null;
  /** The process's name; '' where it is not known. */
  readonly process: string;
}

export interface ListeningPorts {
  readonly ports: readonly ListeningPort[];
  /** There were more than an answer has room for. */
  readonly more: boolean;
}

/** The agent in one guest. Aborting `signal` ends the process group in the guest. */
export interface Guest {
  health(signal: AbortSignal): Promise<GuestHealth>;
  stats(signal: AbortSignal): Promise<GuestStats>;
  ports(signal: AbortSignal): Promise<ListeningPorts>;
  /** The last of what the agent itself has to say: at most 256 KiB of lines. */
  log(signal: AbortSignal): Promise<Buffer>;
  exec(options: ExecOptions, signal: AbortSignal): Promise<ExecSession>;
  put(path: string, content: Uint8Array, mode: number, signal: AbortSignal): Promise<void>;
  get(path: string, signal: AbortSignal): Promise<Buffer>;
  /** Grows the ext4 that is mounted there to its disk. @returns the bytes that the disk has for the guest by now */
  grow(path: string, signal: AbortSignal): Promise<number>;
  /**
   * What is at `path`, as a tar: of a folder or of one file, which is its first entry, `.`. The guest may be anybody's:
   * what comes is hostile, see core/tar/unpack-tree.ts.
   * @param sinks `onNote` gets a line for each thing that is left out
   */
  tar(
    path: string,
    sinks: {
      onChunk(chunk: Buffer): void | Promise<void>;
      onNote?(text: string): void;
    },
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Unpacks a tar of that form at `path`; where that is a folder already and `name` is given, at `path`/`name`. Makes the
   * folders above it. Files are replaced one by one, symlinks below the target are not followed.
   */
  untar(
    target: { readonly path: string; readonly name?: string | undefined },
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * For a guest that has stood still, and that may have been copied meanwhile: its clock is set, and its random generator
   * given what no other has, so that no two of them make the same keys.
   * @param now milliseconds since 1970
   */
  renew(now: number, signal: AbortSignal): Promise<void>;
  /** Asks for a clean shutdown; returns when the guest has begun it. */
  shutdown(signal: AbortSignal): Promise<void>;
}

export interface Guests {
  /** @throws BangerError VM_NOT_RUNNING where that VM has no agent that we are connected to */
  of(vm: { readonly id: string; readonly name: string }): Guest;
}

export const GuestsRef = serviceRef<Guests>('guests');
