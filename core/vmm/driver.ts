import type { Claims } from '../claim.ts';
import type { StartOperation, VmOperation } from '../operation/context.ts';
import type { AgentChannel, DiskFormat } from './machine-spec.ts';
import type { ProcessIdentity } from '../host/executor.ts';

/**
 * The driver contract. Order of calls, each awaited before the next:
 * 1. probe      before every boot, and whenever somebody asks; changes nothing
 * 2. user       before every boot, and before whatever is made for it
 * 3. boot       once per run, within the run's claims; or restore, or attach, after a restart of the daemon
 * 4. shutdown   any number of times, may race with `exited`
 * The claim that boot acquires is the hard kill: its cleanup ends the process.
 */
export interface VmmDriver<I = unknown, O = unknown> {
  readonly id: string;
  readonly diskFormats: readonly DiskFormat[];
  readonly agentChannel: AgentChannel['kind'];
  probe(): Promise<VmmProbe>;
  /**
   * Where the VMM runs as a user of its own: its number, and that of its group, claimed for the VM or the run.
   * @returns undefined where it is the daemon's user
   */
  user?(operation: VmOperation, claims: Claims<I, O>): Promise<number | undefined>;
  boot(operation: StartOperation, claims: Claims<I, O>): Promise<VmmHandle>;
  /**
   * Where the VMM can, and then its handles have `snapshot`: as `boot`, but the guest goes on where a snapshot of it was
   * taken. The machine has the same CPUs, memory and devices; taps may have other names; disks hold what they held then.
   * Whatever the guest was connected to is gone, its clock is late, and its random generator that of each other guest
   * that goes on from there: see `Guest.renew`.
   * @param snapshot a folder that `VmmHandle.snapshot` has filled, of the same driver; it is only read, and has to stay
   * as long as the guest runs
   * @throws BangerError VMM_FAILED
   */
  restore?(operation: StartOperation, snapshot: string, claims: Claims<I, O>): Promise<VmmHandle>;
  /** The running VMM of that VM, or undefined when it is gone. */
  attach(operation: VmOperation, claims: Claims<I, O>): Promise<VmmHandle | undefined>;
}

export interface VmmProbe {
  readonly usable: boolean;
  /** Higher is tried first by `vmm = "auto"`. */
  readonly preference: number;
  readonly detail: string;
  readonly remedy?: string;
}

export interface VmmExit {
  /** What is known of why: an exit code, a signal, or that it was found gone. */
  readonly detail: string;
  /** The guest ended itself in good order. */
  readonly clean: boolean;
  /**
   * Where the driver can tell: why the guest's kernel has panicked, or undefined. To be asked of a guest that nobody
   * told to end; it may take half a second.
   */
  panic?(): Promise<string | undefined>;
}

export interface VmmHandle {
  readonly process: ProcessIdentity;
  readonly agent: AgentChannel;
  /** Console and VMM logs, for `vm logs` and errors. */
  readonly logs: Readonly<Record<string, string>>;
  /** Settles once the process is gone, whoever its parent is. Never rejects. */
  readonly exited: Promise<VmmExit>;
  /** The driver's own gentle means. Returns when they are through; the caller then unwinds. */
  shutdown(signal: AbortSignal): Promise<void>;
  /** Where the VMM can: the guest's CPUs stand still until `resume`. Neither minds being asked twice. */
  pause?(): Promise<void>;
  resume?(): Promise<void>;
  /** Whether they do; asked of one that was attached. */
  isPaused?(): Promise<boolean>;
  /**
   * Where the VMM can, of a guest that is paused, and stays so: all of it but its disks, into files in a folder that is
   * there, empty and closed to others: the guest's memory may have secrets, and the files may be for everybody to read, so
   * that another VM's VMM can. What is in the folder is its driver's own.
   * @throws BangerError VMM_FAILED; the signal's reason
   */
  snapshot?(folder: string, signal: AbortSignal): Promise<void>;
  /** Where the VMM can: makes the drive of that id, and the file behind it, larger. */
  growDrive?(drive: string, bytes: number, path: string): Promise<void>;
}
