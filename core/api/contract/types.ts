import type { z } from 'zod';
import type * as schemas from './schemas.ts';

/** The contract's types alone: the CLI imports these and so starts without zod. */
export type VmSummary = z.output<typeof schemas.vmSummary>;
export type VmDetails = z.output<typeof schemas.vmDetails>;
export type VmState = z.output<typeof schemas.vmState>;
export type CreateVm = z.input<typeof schemas.createVm>;
export type Operation = z.output<typeof schemas.operation>;
export type OperationEvent = z.output<typeof schemas.operationEvent>;
export type Accepted = z.output<typeof schemas.accepted>;
export type DaemonStatus = z.output<typeof schemas.daemonStatus>;
export type DoctorReport = z.output<typeof schemas.doctorReport>;
export type LeakReport = z.output<typeof schemas.leakReport>;
export type ActionInfo = z.output<typeof schemas.actionInfo>;
export type ExecRequest = z.input<typeof schemas.execRequest>;
export type VmHealth = z.output<typeof schemas.vmHealth>;
export type CopyRequest = z.output<typeof schemas.copyRequest>;
export type CopyResult = z.output<typeof schemas.copyResult>;
export type Condition = z.output<typeof schemas.condition>;
