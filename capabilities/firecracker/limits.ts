import { parseSize, z } from '../../core/plugin-api/index.ts';
import type { components } from './api/types.ts';

type RateLimiter = components['schemas']['RateLimiter'];

/** Less starves a guest of its own boot. */
const leastBytes = 1024 ** 2;

const rate = z
  .string()
  .refine((text) => (parseSize(text) ?? 0) >= leastBytes, {
    error: 'bytes per second, at least "1M", such as "200M"',
  })
  .transform((text) => parseSize(text) ?? leastBytes);

/** Keys of config.toml; without one there is no such limit. */
export const limitKeys = {
  /** Bytes per second of each disk. */
  disk_bandwidth: rate.optional(),
  /** Reads and writes per second of each disk. */
  disk_ops: z.int().min(1).optional(),
  /** Bytes per second of each network interface, in each direction. */
  network_bandwidth: rate.optional(),
};

/** Bytes, and operations, per second. */
export interface Limits {
  readonly disk?: RateLimiter;
  readonly network?: RateLimiter;
}

const second = 1000;

/** A bucket that is refilled once a second has so much a second, and no burst beyond it. */
const limiter = (
  bandwidth: number | undefined,
  ops: number | undefined,
): RateLimiter | undefined =>
  bandwidth === undefined && ops === undefined
    ? undefined
    : {
        ...(bandwidth === undefined ? {} : { bandwidth: { size: bandwidth, refill_time: second } }),
        ...(ops === undefined ? {} : { ops: { size: ops, refill_time: second } }),
      };

export const limitsOf = (config: {
  readonly disk_bandwidth?: number | undefined;
  readonly disk_ops?: number | undefined;
  readonly network_bandwidth?: number | undefined;
}): Limits => {
  const disk = limiter(config.disk_bandwidth, config.disk_ops);
  const network = limiter(config.network_bandwidth, undefined);
  return {
    ...(disk === undefined ? {} : { disk }),
    ...(network === undefined ? {} : { network }),
  };
};
