// The answers to `stats` and `ports`, as PROTOCOL.md has them. A guest may say anything: all is bounded.

import { isIP } from 'node:net';
import {
  z,
  type GuestStats,
  type ListeningPort,
  type ListeningPorts,
} from '../../core/plugin-api/index.ts';
import { cleanText } from './clean-text.ts';

/** A REPLY has no room for more entries of ports than this. */
const portsMax = 512;
const filesystemsMax = 16;
/** pid_t, and PID_MAX_LIMIT of Linux. */
const pidMax = 4_194_304;

const bytes = z.int().nonnegative();
const milliseconds = z.int().nonnegative();
const load = z.number().nonnegative().max(1_000_000);

const filesystem = z.object({
  mount: cleanText(64),
  size: bytes,
  used: bytes,
  available: bytes,
});

export const statsSchema = z
  .object({
    uptimeMs: milliseconds,
    memory: z.object({ total: bytes, available: bytes, swapTotal: bytes, swapFree: bytes }),
    load: z.tuple([load, load, load]),
    cpu: z.object({ count: z.int().min(1).max(4096), busyMs: milliseconds, totalMs: milliseconds }),
    processes: z.int().nonnegative(),
    connections: z.int().nonnegative(),
    filesystems: z.array(filesystem).max(filesystemsMax),
  })
  .transform(({ memory, filesystems, ...rest }): GuestStats => ({
    ...rest,
    memory: {
      totalBytes: memory.total,
      availableBytes: memory.available,
      swapTotalBytes: memory.swapTotal,
      swapFreeBytes: memory.swapFree,
    },
    filesystems: filesystems.map(({ mount, size, used, available }) => ({
      mount,
      sizeBytes: size,
      usedBytes: used,
      availableBytes: available,
    })),
  }));

const port = z
  .object({
    protocol: z.enum(['tcp', 'udp']),
    address: z
      .string()
      .max(45)
      .refine((text) => isIP(text) !== 0),
    port: z.int().min(1).max(65_535),
    /** 0: nobody knows. */
    pid: z.int().min(0).max(pidMax),
    process: cleanText(64),
  })
  .transform(({ pid, ...rest }): ListeningPort => ({
    ...rest,
    pid: pid === 0 ? null : pid,
  }));

export const portsSchema = z
  .object({ ports: z.array(port).max(portsMax), more: z.boolean() })
  .transform((found): ListeningPorts => found);
