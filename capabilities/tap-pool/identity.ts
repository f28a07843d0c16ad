import { z, type IdentityCodec } from '../../core/plugin-api/index.ts';

/** Scope `host`: the bridge with the gateway's address. */
const bridge = z.object({
  kind: z.literal('bridge'),
  name: z.string(),
  /** IPv4 with prefix length: the gateway of all guests. */
  address: z.string(),
});

/** Scope `run`. */
const tap = z.object({ kind: z.literal('tap'), name: z.string(), bridge: z.string() });

/** Scope `vm`: no object on the host; the claim's key is the allocator's lock. */
const lease = z.object({ kind: z.literal('lease'), subnet: z.string(), address: z.string() });

const identity = z.discriminatedUnion('kind', [bridge, tap, lease]);

/**
 * Told by the device itself at the end of its allocation, so a claim that has it is of a device that carries
 * our marker as its alias. (The claim's state does not tell: `releasing` follows `intent` and `held`.)
 */
const observed = z.object({ ifindex: z.int() });

export type BridgeIdentity = z.output<typeof bridge>;
export type TapIdentity = z.output<typeof tap>;
export type LeaseIdentity = z.output<typeof lease>;
export type TapPoolIdentity = z.output<typeof identity>;
export type TapPoolObserved = z.output<typeof observed>;

export const tapPoolIdentity: IdentityCodec<TapPoolIdentity, TapPoolObserved> = {
  version: 1,
  schema: identity,
  observed,
};
