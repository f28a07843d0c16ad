/** The only door to the host's commands. Types only: `createExecutor` is in create-executor.ts. */
export interface RunOptions {
  /** Needs root: direct as root, `sudo -n` otherwise. */
  readonly privileged?: boolean;
  readonly signal?: AbortSignal;
  /** Milliseconds; default 30,000. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Added to a minimal environment (PATH, LC_ALL=C, HOME). */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are answers rather than failures; default `[0]`. */
  readonly okCodes?: readonly number[];
  /** Called with each line of stdout and stderr as it comes (progress of long work). */
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/** A process as the kernel tells it apart: pids are reused, start times are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  readonly startTicks: number;
}

export interface DetachOptions {
  readonly cwd: string;
  /** File that gets stdout and stderr, appended. */
  readonly logPath: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A program, by its path, and its first arguments: it is started, and becomes the command after them (execve(2)). */
  readonly through?: readonly [string, ...string[]];
}

export interface DetachedProcess extends ProcessIdentity {
  /** Settles when the process ends, while this daemon is its parent. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

export interface Executor {
  /**
   * Runs a command to its end. argv only, no shell. Standard input is the helpers lock, so
   * input goes by file argument.
   * @throws BangerError TOOL_MISSING (names the package), PRIVILEGE_UNAVAILABLE, COMMAND_TIMEOUT,
   *   OPERATION_CANCELLED (signal), COMMAND_FAILED (an exit code that is not in okCodes; the
   *   message has the last lines of stderr)
   */
  run(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a long-lived process in a session of its own, which outlives the daemon. */
  detach(file: string, args: readonly string[], options: DetachOptions): Promise<DetachedProcess>;
  /** The path of a tool (PATH plus /usr/sbin and /sbin), or undefined. */
  which(file: string): Promise<string | undefined>;
  /**
   * @throws BangerError TOOL_MISSING for the first of the tools that is absent
   */
  require(...files: readonly string[]): Promise<void>;
  /** @throws BangerError PRIVILEGE_UNAVAILABLE when neither root nor `sudo -n` works */
  requirePrivilege(): Promise<void>;
}
