import type { Logger } from '../log/logger.ts';
import type { VmRecord } from '../vm/record.ts';
import type { MachineSpec } from '../vmm/machine-spec.ts';

export interface Progress {
  readonly text: string;
  /** 0 … 1 where it is known. */
  readonly fraction?: number;
}

/** One long action on a VM or on the host. */
export interface OperationContext {
  readonly id: string;
  readonly kind: string;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Told to whoever watches the operation; also replayed to those who come later. */
  progress(progress: Progress): void;
  /** A line for the person at the terminal, once (for example: no KVM, so TCG). */
  notice(text: string): void;
}

export interface VmOperation extends OperationContext {
  readonly vm: VmRecord;
  readonly runId: string;
}

export interface StartOperation extends VmOperation {
  /** The blackboard of this start. Capabilities add to it in preStart; the driver reads it. */
  readonly machine: MachineSpec;
}
