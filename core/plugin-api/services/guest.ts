import { serviceRef } from '../../capability.ts';

export interface GuestHealth {
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

/** The agent in one guest. Aborting `signal` ends the process group in the guest. */
export interface Guest {
  health(signal: AbortSignal): Promise<GuestHealth>;
  exec(options: ExecOptions, signal: AbortSignal): Promise<ExecSession>;
  put(path: string, content: Uint8Array, mode: number, signal: AbortSignal): Promise<void>;
  get(path: string, signal: AbortSignal): Promise<Buffer>;
  /** Asks for a clean shutdown; returns when the guest has begun it. */
  shutdown(signal: AbortSignal): Promise<void>;
}

export interface Guests {
  /** @throws BangerError VM_NOT_RUNNING where that VM has no agent that we are connected to */
  of(vm: { readonly id: string; readonly name: string }): Guest;
}

export const GuestsRef = serviceRef<Guests>('guests');
