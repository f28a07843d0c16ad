import type { ErrorBody } from '../core/errors.ts';

/**
 * What `banger` exits with besides 0. A command that ran in a guest passes its own code through
 * (128 + n for signal n), so our failures take a number that few programs use, as docker and env do.
 */
export const exitCodes = {
  /** `doctor` found an error. */
  unhealthy: 1,
  /** The command line makes no sense; nothing was called. */
  usage: 2,
  /** banger, not the guest's command, failed. */
  failure: 125,
  /** Ctrl-C: 128 + SIGINT. */
  interrupted: 130,
  /** Whoever read our output went away: 128 + SIGPIPE. */
  brokenPipe: 141,
} as const;

/** Codes that only a client can raise, next to those of the daemon's catalogue. */
type CliErrorCode =
  | ErrorBody['code']
  | 'DAEMON_UNREACHABLE'
  | 'DAEMON_NOT_RUNNING'
  | 'FILE_UNREADABLE'
  | 'INTERRUPTED_BY_USER';

export interface CliErrorBody {
  readonly code: CliErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly operationId?: string | undefined;
  readonly logPath?: string | undefined;
}

/** Everything that ends a command before its time, with what its reader can do about it. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly body: CliErrorBody;
  readonly exitCode: number;

  constructor(body: CliErrorBody, exitCode: number = exitCodes.failure) {
    super(body.message);
    this.body = body;
    this.exitCode = exitCode;
  }
}

const inputCodes: readonly string[] = ['INPUT_INVALID', 'VM_NAME_INVALID'];

/** The daemon's refusal of bad input counts as usage, like our own. */
export const errorOf = (body: CliErrorBody): CliError =>
  new CliError(body, inputCodes.includes(body.code) ? exitCodes.usage : exitCodes.failure);

export const usageError = (message: string, remedy: string): CliError =>
  new CliError({ code: 'INPUT_INVALID', message, remedy }, exitCodes.usage);

export const interruptedError = (
  message: string,
  remedy: string,
  exitCode: number = exitCodes.interrupted,
): CliError => new CliError({ code: 'INTERRUPTED_BY_USER', message, remedy }, exitCode);

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
