import type { Capability } from '../core/plugin-api/index.ts';
import { fileSyncCapability } from './file-sync/index.ts';
import { firecrackerCapability } from './firecracker/index.ts';
import { imagesCapability } from './images/index.ts';
import { kernelsCapability } from './kernels/index.ts';
import { natCapability } from './nat/index.ts';
import { qemuCapability } from './qemu/index.ts';
import { rootfsCapability } from './rootfs/index.ts';
import { sshCapability } from './ssh/index.ts';
import { statsCapability } from './stats/index.ts';
import { tapPoolCapability } from './tap-pool/index.ts';
import { vsockAgentCapability } from './vsock-agent/index.ts';
import { workDiskCapability } from './work-disk/index.ts';
import { workspaceCapability } from './workspace/index.ts';

/** What is built in, in the order in which a start goes through it. */
export const builtIn: readonly Capability[] = [
  kernelsCapability,
  imagesCapability,
  rootfsCapability,
  workDiskCapability,
  tapPoolCapability,
  natCapability,
  sshCapability,
  vsockAgentCapability,
  workspaceCapability,
  fileSyncCapability,
  firecrackerCapability,
  qemuCapability,
  statsCapability,
];
