import { z } from 'zod';
import { catalogue, type ErrorCode } from '../../errors.ts';
import { isVmName, vmNameRule } from '../../vm/name.ts';

/** What goes over the socket. Field names are stable: `--json` prints these objects as they are. */

export const vmName = z.string().refine(isVmName, { error: `a VM's name is ${vmNameRule}` });

const errorCodes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

export const errorBody = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  remedy: z.string(),
  operationId: z.string().optional(),
  logPath: z.string().optional(),
});

export const vmState = z.enum(['stopped', 'starting', 'running', 'paused', 'stopping', 'deleting']);

export const condition = z.object({
  /** `degraded`, `unprovisioned`, … */
  kind: z.string(),
  detail: z.string(),
});

/** What `vm set` can change. */
const spec = {
  vcpus: z.number(),
  memoryMib: z.number(),
  diskBytes: z.number(),
  nat: z.boolean(),
};
/** How a running VM fares, as its agent says; sizes are bytes. */
export const vmStats = z.object({
  /** When, ISO 8601. */
  at: z.string(),
  uptimeSeconds: z.number(),
  vcpus: z.number(),
  /** Since the look before: 100 is all vCPUs busy. Null at the first. */
  cpuPercent: z.number().nullable(),
  /** Averages of 1, 5 and 15 minutes. */
  load: z.tuple([z.number(), z.number(), z.number()]),
  memoryTotalBytes: z.number(),
  /** What new work could not have: the rest of MemAvailable. */
  memoryUsedBytes: z.number(),
  swapUsedBytes: z.number(),
  processes: z.number(),
  /** Established TCP connections with another machine. */
  connections: z.number(),
  filesystems: z.array(
    z.object({
      mount: z.string(),
      sizeBytes: z.number(),
      usedBytes: z.number(),
      availableBytes: z.number(),
    }),
  ),
  /** What the VMM takes of the host; null where it cannot be seen. */
  host: z
    .object({
      memoryBytes: z.number(),
      /** Since the look before: 100 is one of the host's CPUs busy. */
      cpuPercent: z.number().nullable(),
    })
    .nullable(),
});

export const vmSummary = z.object({
  id: z.string(),
  name: z.string(),
  state: vmState,
  image: z.string(),
  ...spec,
  /** What it runs with, where it runs: what differs from the above takes effect at its next start. */
  current: z.object(spec).nullable(),
  ip: z.string().nullable(),
  vmm: z.string().nullable(),
  /** The VMM's own process. */
  pid: z.number().nullable(),
  createdAt: z.string(),
  ephemeral: z.boolean(),
  conditions: z.array(condition),
});

/** As `GET /v1/vms` shows a VM. */
export const vmListed = vmSummary.extend({ stats: vmStats.nullable() });

export const vmDetails = vmListed.extend({
  startedAt: z.string().nullable(),
  lastError: errorBody.nullable(),
  /** The operation that works on this VM now. */
  operationId: z.string().nullable(),
  /** By capability id: what it knows of this VM. */
  capabilities: z.record(z.string(), z.record(z.string(), z.json())),
  /** By name (`console`, `vmm`): files on the host. */
  logs: z.record(z.string(), z.string()),
});

/** Whether a VM is well; superficial on purpose, so that it is asked often. */
export const vmHealth = z.object({
  name: z.string(),
  state: vmState,
  /** It runs, its agent answers, and `problems` is empty. */
  healthy: z.boolean(),
  /** `none`: it does not run. */
  agent: z.enum(['ok', 'unreachable', 'none']),
  /** Of one question to the agent, milliseconds. */
  roundTripMs: z.number().nullable(),
  agentVersion: z.string().nullable(),
  /** The guest's /proc/sys/kernel/random/boot_id: another one after it has started anew. */
  bootId: z.string().nullable(),
  /** `lean`, or the image's own init. */
  init: z.string().nullable(),
  uptimeSeconds: z.number().nullable(),
  disks: vmStats.shape.filesystems,
  /** One line each. */
  problems: z.array(z.string()),
  conditions: z.array(condition),
});

/** All optional: what is absent comes from the daemon's `[defaults]`. */
export const createVm = z.strictObject({
  /** Empty or absent: a generated one. */
  name: z.union([z.literal(''), vmName]).optional(),
  image: z.string().min(1).optional(),
  vcpus: z.int().min(1).optional(),
  memoryMib: z.int().min(1).optional(),
  diskBytes: z.int().min(1).optional(),
  nat: z.boolean().optional(),
  ephemeral: z.boolean().default(false),
  /** False: only the record. */
  start: z.boolean().default(true),
});

/** What is absent stays. */
export const setVm = createVm
  .pick({ vcpus: true, memoryMib: true, diskBytes: true, nat: true })
  .strict();

export const deleteVm = z.strictObject({ force: z.boolean().default(false) });

export const operationState = z.enum(['running', 'done', 'failed', 'cancelled']);

export const operation = z.object({
  id: z.string(),
  /** `start`, `stop`, `delete`, `image build`, … */
  kind: z.string(),
  vmId: z.string().nullable(),
  vmName: z.string().nullable(),
  state: operationState,
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  error: errorBody.nullable(),
  /** An action's output. */
  result: z.json().nullable(),
});

/** One line of an operation's story. `seq` is the SSE id; Last-Event-ID goes on from there. */
export const operationEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('stage'),
    seq: z.int(),
    at: z.string(),
    stage: z.string(),
    status: z.enum(['started', 'done', 'failed']),
    durationMs: z.number().optional(),
  }),
  z.object({
    type: z.literal('progress'),
    seq: z.int(),
    at: z.string(),
    stage: z.string().nullable(),
    text: z.string(),
    fraction: z.number().optional(),
  }),
  z.object({ type: z.literal('notice'), seq: z.int(), at: z.string(), text: z.string() }),
  z.object({ type: z.literal('end'), seq: z.int(), at: z.string(), operation }),
]);

/** The answer 202 to whatever goes on in the background. */
export const accepted = z.object({
  operation,
  /** Absent for actions. */
  vm: vmSummary.optional(),
});

export const daemonStatus = z.object({
  pid: z.number(),
  version: z.string(),
  buildId: z.string(),
  socket: z.string(),
  uptimeSeconds: z.number(),
  /** Number of VMs on record, and of those that run. */
  vms: z.number(),
  vmsRunning: z.number(),
  instance: z.string(),
  configPath: z.string(),
  /** False where no config file is there. */
  configFound: z.boolean(),
  stateDirectory: z.string(),
  logPath: z.string(),
  /** Of the daemon, bytes. */
  rssBytes: z.number(),
  recovery: z.object({
    /** `waiting`: for helpers that an earlier daemon left. */
    state: z.enum(['waiting', 'running', 'done']),
    /** Names of VMs. */
    pending: z.array(z.string()),
    /** `pid (arguments)` of those helpers. */
    waitingFor: z.array(z.string()),
  }),
  capabilities: z.array(
    z.object({
      id: z.string(),
      summary: z.string(),
      origin: z.string(),
      enabled: z.boolean(),
      error: z.string().nullable(),
    }),
  ),
  /** Operations under way. */
  operations: z.array(operation),
});

export const stopDaemon = z.strictObject({
  /** True: to be replaced at once, so idle host objects may stay. */
  replace: z.boolean().default(false),
});

export const doctorCheck = z.object({
  capability: z.string(),
  id: z.string(),
  title: z.string(),
  status: z.enum(['ok', 'warning', 'error']),
  detail: z.string(),
  remedy: z.string().optional(),
});

export const doctorReport = z.object({ ok: z.boolean(), checks: z.array(doctorCheck) });

/** What the ledger and the host disagree about; see core/lifecycle/fix-leaks.ts. */
export const leak = z.object({
  kind: z.enum(['orphan', 'gone', 'unreadable', 'unseen']),
  capability: z.string(),
  what: z.string(),
  vm: z.string().nullable(),
  fixed: z.boolean(),
  detail: z.string(),
});

export const leakReport = z.object({
  /** Whether nothing is left. */
  ok: z.boolean(),
  leaks: z.array(leak),
});

export const actionInfo = z.object({
  capability: z.string(),
  action: z.string(),
  summary: z.string(),
  mode: z.enum(['call', 'operation']),
});

const absolutePath = z.string().refine((path) => path.startsWith('/') && !path.includes('\0'), {
  error: 'an absolute path',
});

/** A file or folder to a guest (`in`) or from it (`out`). */
export const copyRequest = z.strictObject({
  direction: z.enum(['in', 'out']),
  host: absolutePath,
  guest: absolutePath,
  /** Where the target is a folder already, its entry of this name is meant. */
  name: z
    .string()
    .min(1)
    .refine((name) => name !== '.' && name !== '..' && !/[/\0]/.test(name))
    .optional(),
  /** The most that is taken from the guest. */
  limitBytes: z.int().min(1).optional(),
});

/** The result of that operation. */
export const copyResult = z.object({
  files: z.number(),
  bytes: z.number(),
  /** What was left out, or is odd. */
  notes: z.array(z.string()),
});

/** The body of an exec request; it is upgraded to the frames of exec-frames.ts. */
export const execRequest = z.strictObject({
  argv: z.array(z.string()).min(1),
  env: z.record(z.string(), z.string()).default({}),
  cwd: z.string().optional(),
  /** In the guest: a name, UID or UID:GID; root where absent. */
  user: z.string().min(1).max(64).optional(),
  pty: z.object({ rows: z.int().min(1), columns: z.int().min(1) }).optional(),
  stdin: z.boolean().default(true),
});
