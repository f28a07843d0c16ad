import { vmStats, z } from '../../core/plugin-api/index.ts';

const vm = z.string().min(1).max(64);

export const statsNow = z.strictObject({
  /** Name or id; absent: all that run. */
  vm: vm.optional(),
});

export const statsReport = z.object({
  vms: z.array(
    z.object({
      name: z.string(),
      /** Null where it does not answer; `error` says why. */
      stats: vmStats.nullable(),
      error: z.string().nullable(),
    }),
  ),
});

export const portsAsk = z.strictObject({
  vm,
  /** Whether to ask the ports that can be reached for HTTP. */
  probe: z.boolean().default(true),
});

export const portsReport = z.object({
  name: z.string(),
  /** The guest's address; null where it has none. */
  ip: z.string().nullable(),
  ports: z.array(
    z.object({
      protocol: z.enum(['tcp', 'udp']),
      /** All that the guest has bound this port of. */
      addresses: z.array(z.string()),
      port: z.number(),
      pid: z.number().nullable(),
      process: z.string(),
      /** From the host: false where it listens on the guest's own loopback alone. */
      reachable: z.boolean(),
      /** Whether HTTP answers; null where nobody has asked. */
      http: z.boolean().nullable(),
      /** By name, for those whose resolver knows NAME.vm; null where it is not HTTP. */
      url: z.string().nullable(),
      /** The same by the guest's address. */
      addressUrl: z.string().nullable(),
    }),
  ),
  /** There were more than an answer has room for. */
  more: z.boolean(),
});

export const agentLogAsk = z.strictObject({ vm });
export const agentLog = z.object({ text: z.string() });

export type StatsReport = z.output<typeof statsReport>;
export type PortsReport = z.output<typeof portsReport>;
export type AgentLog = z.output<typeof agentLog>;
