import { z } from 'zod';
import { parseSize } from '../size.ts';
import { parseDuration } from './duration.ts';

const memory = z.string().refine((text) => (parseSize(text, 'm') ?? 0) >= 64 * 1024 ** 2, {
  error: 'a size of at least 64M, such as "2048M" or "2G"',
});
const disk = z.string().refine((text) => (parseSize(text) ?? 0) >= 64 * 1024 ** 2, {
  error: 'a size of at least 64M, such as "8G"',
});
const duration = z.string().refine((text) => parseDuration(text) !== undefined, {
  error: 'a duration such as "500ms", "10s" or "5m"',
});

/** Less would stop a VM between two looks of its owner. */
const patience = z.string().refine((text) => text === 'off' || (parseDuration(text) ?? 0) >= 1000, {
  error: 'a duration of at least "1s", such as "30m", or "off"',
});

export const defaultsSchema = z.strictObject({
  image: z.string().default('debian-bookworm'),
  vcpus: z.int().min(1).max(32).default(2),
  memory: memory.default('2048M'),
  disk_size: disk.default('8G'),
});

export const lifecycleSchema = z.strictObject({
  /** How long a guest may take to shut down before it is killed. */
  stop_timeout: duration.default('10s'),
  /** How often running VMs are compared with the host. */
  health_interval: duration.default('30s'),
  /** How long nobody may have used a VM before it is stopped; docs/idle.md. */
  auto_stop_after: patience.default('off'),
});

export const logSchema = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export const pluginSchema = z
  .strictObject({
    /** A folder with a package.json; relative to the configuration file. */
    path: z.string().min(1).optional(),
    /** A package's name, found from the configuration file's folder. */
    package: z.string().min(1).optional(),
  })
  .refine(({ path, package: name }) => (path === undefined) !== (name === undefined), {
    error: 'either `path` or `package`',
  });

/** Core's own tables. All other tables are capabilities', by their id. */
export const coreSchema = z.strictObject({
  vmm: z.string().default('auto'),
  defaults: defaultsSchema.prefault({}),
  lifecycle: lifecycleSchema.prefault({}),
  log: logSchema.prefault({}),
  /** Capability id to on or off. */
  capabilities: z.record(z.string(), z.boolean()).default({}),
  plugins: z.array(pluginSchema).default([]),
});

export type CoreConfig = z.output<typeof coreSchema>;
