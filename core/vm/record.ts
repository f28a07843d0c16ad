/** What the user asked for. Intent, never observation. */
export interface VmRecord {
  /** UUID v7. */
  readonly id: string;
  /** A DNS label. */
  readonly name: string;
  readonly image: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Size of the work disk (of the root disk where work disks are off). */
  readonly diskBytes: number;
  /** `run --rm`: deleted when its client is gone. */
  readonly ephemeral: boolean;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}
