/** What `vm set` can change. */
export interface VmSpec {
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Size of the work disk (of the root disk where work disks are off). Grows only. */
  readonly diskBytes: number;
  /** Whether the guest reaches what is outside the host, by the host's addresses. */
  readonly nat: boolean;
}

/** What the user asked for. Intent, never observation. */
export interface VmRecord extends VmSpec {
  /** UUID v7. */
  readonly id: string;
  /** A DNS label. */
  readonly name: string;
  readonly image: string;
  /** `run --rm`: deleted when its client is gone. */
  readonly ephemeral: boolean;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

export const specOf = ({ vcpus, memoryMib, diskBytes, nat }: VmSpec): VmSpec => ({
  vcpus,
  memoryMib,
  diskBytes,
  nat,
});
