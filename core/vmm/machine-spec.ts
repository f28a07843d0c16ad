export type DiskFormat = 'raw' | 'qcow2';

export interface Drive {
  /** `root`, `work`, …: letters, digits and `_` (Firecracker's rule). */
  readonly id: string;
  /** The kernel parameter by which the guest's init learns which of its disks this is; the driver knows how to say it. */
  readonly toldBy?: 'banger.root' | 'banger.work';
  /** Of one that is written to: the VM's own, so that it may be given to the VMM's user. */
  readonly path: string;
  readonly format: DiskFormat;
  readonly readOnly: boolean;
  /** False where a flush of the guest need not reach the host's disk. */
  readonly durable: boolean;
}

export interface Nic {
  readonly id: string;
  /** Name of a tap that the VMM's user may open. */
  readonly tap: string;
  readonly mac: string;
}

/** A file for the guest, written by its init before anything else runs; owner 0:0. */
export interface SeedFile {
  /** `file` replaces; `line` appends its lines where they are absent. */
  readonly kind: 'file' | 'line';
  /** Absolute in the guest, no newline. */
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}

export interface GuestSeed {
  hostname: string;
  /** IPv4 with prefix length, `10.1.2.3/24`. */
  address?: string;
  gateway?: string;
  readonly dns: string[];
  readonly files: SeedFile[];
}

/**
 * How the host reaches the agent. `ports`: virtio-serial ports, a unix socket each, one session at a time.
 * `vsock`: Firecracker's unix socket, on which `CONNECT <port>` opens as many streams as one likes.
 */
export type AgentChannel =
  | { readonly kind: 'ports'; readonly paths: readonly string[] }
  | {
      readonly kind: 'vsock';
      readonly path: string;
      /** Where a unix socket is to be for what the guest connects to `announcePort`. The VMM's claim removes the file. */
      readonly announce: string;
    };

/** The vsock port of the host, CID 2, to which a guest's agent connects once when it can be reached: wire.h has it. */
export const announcePort = 1025;

export interface KernelSpec {
  /** Content id. */
  readonly id: string;
  readonly release: string;
  /** ELF vmlinux. */
  readonly path: string;
  /** Uncompressed module files for the initrd, in the order of loading: those of both kinds of channels. */
  readonly initrdModules: readonly string[];
}

export interface ImageSpec {
  /** Content id. */
  readonly id: string;
  readonly name: string;
  /** Claim id of the stored image, for `uses`. */
  readonly claimId: string;
  /** Raw ext4 file, never written to. */
  readonly rootPath: string;
  /** Raw ext4 file that a VM's work disk starts as. */
  readonly workSeedPath: string;
  readonly init: 'lean' | 'systemd';
}

/** The blackboard of one start. */
export interface MachineSpec {
  readonly vcpus: number;
  readonly memoryMib: number;
  /** User and group that the VMM will run as, where that is not the daemon's user: it has no other rights. */
  vmmUid?: number;
  image?: ImageSpec;
  kernel?: KernelSpec;
  /** Changes when the root disk is made anew: what provisioning did `once` is then done again. */
  rootGeneration?: string;
  /** Path of the initrd, seed included. */
  initrd?: string;
  /** Kernel parameters that capabilities add; the driver adds its own. */
  readonly bootArgs: string[];
  readonly drives: Drive[];
  readonly nics: Nic[];
  readonly seed: GuestSeed;
  /** What the chosen driver offers. */
  readonly agentChannel: AgentChannel['kind'];
  /** Formats that the chosen driver takes, the preferred first. */
  readonly diskFormats: readonly DiskFormat[];
}
