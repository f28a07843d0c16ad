/**
 * All that a capability or a plugin may import: the one public surface. Built-in capabilities use it and
 * nothing else. Plugins import it as `banger/plugin-api`.
 */
export { z } from 'zod';
export { deadlineSignal, within } from '../deadline.ts';
export { BangerError, codeOf, messageOf, toBangerError } from '../errors.ts';
export type { ErrorCode } from '../errors.ts';
export { defineAction, defineCapability, provide, serviceRef } from '../capability.ts';
export type {
  Action,
  Capability,
  Change,
  CapabilityEnv,
  CapabilitySpec,
  Description,
  DoctorCheck,
  Handlers,
  Loss,
  ProvisionStep,
  ServiceRef,
  Teardown,
  WorkStep,
} from '../capability.ts';
export type { Claim, Claims, Found, IdentityCodec, NewClaim, Reconciled, Scope } from '../claim.ts';
export type {
  DetachedProcess,
  Executor,
  ProcessIdentity,
  RunOptions,
  RunResult,
} from '../host/executor.ts';
export type { Host, Instance } from '../host/host.ts';
export type { Logger } from '../log/logger.ts';
export type {
  OperationContext,
  Progress,
  StartOperation,
  VmOperation,
} from '../operation/context.ts';
export type { VmRecord, VmSpec } from '../vm/record.ts';
export type { VmmDriver, VmmExit, VmmHandle, VmmProbe } from '../vmm/driver.ts';
export { announcePort } from '../vmm/machine-spec.ts';
export type {
  AgentChannel,
  DiskFormat,
  Drive,
  GuestSeed,
  ImageSpec,
  KernelSpec,
  MachineSpec,
  Nic,
  SeedFile,
} from '../vmm/machine-spec.ts';
export {
  asFilesRoot,
  bootstrapMode,
  removeFilesTree,
  type BootstrapMode,
} from '../host/bootstrap-mode.ts';
export {
  observePath,
  ownedPathTeardown,
  pathObserved,
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
} from '../host/owned-path.ts';
export {
  ensureCachedFolder,
  removeCachedFolder,
  type CachedFolder,
  type CachedFolderOptions,
} from '../host/cached-folder.ts';
export { linkFolder } from '../host/link-folder.ts';
export { measureTree, packTree, type PackOptions, type TreeSize } from '../tar/pack-tree.ts';
export { unpackTree, type Unpacking } from '../tar/unpack-tree.ts';
export type { Unpacked, UnpackOptions } from '../tar/unpack-options.ts';
export { growFile } from '../host/grow-file.ts';
export { kvmCheck, kvmObstacle, type KvmCheck, type KvmPlaces } from '../host/kvm.ts';
export { nativeProgram } from '../host/native-program.ts';
export { argumentOf, waitNameGone, writerMs, type VmmMarks } from '../vmm/process/find.ts';
export { ensureVmmFolder } from '../vmm/process/folder.ts';
export {
  vmmIdentity,
  type VmmClaims,
  type VmmIdentity,
  type VmmObserved,
} from '../vmm/process/identity.ts';
export { findVmm } from '../vmm/process/adopt.ts';
export { controlDeadlineMs, launchVmm } from '../vmm/process/launch.ts';
export type { Room } from '../vmm/process/room.ts';
export { claimVmmUser, vmmUserCount, type VmmUser } from '../vmm/process/user.ts';
export { vmmLogs, vmmMetrics } from '../vmm/process/logs.ts';
export { readPanic } from '../vmm/process/panic.ts';
export { vmmTeardown } from '../vmm/process/teardown.ts';
export { waitGone } from '../vmm/process/wait-gone.ts';
export { newToken } from '../token.ts';
export { isProcessAlive, processIdentity } from '../host/process-identity.ts';
export { formatSize, parseSize } from '../size.ts';
export { parseDuration } from '../config/duration.ts';
export { vmStats } from '../api/contract/schemas.ts';
export type { VmStats } from '../api/contract/types.ts';
export * from './services/addresses.ts';
export * from './services/channels.ts';
export * from './services/guest.ts';
export * from './services/images.ts';
export * from './services/kernels.ts';
export * from './services/machines.ts';
export * from './services/stats.ts';
export * from './services/vms.ts';
