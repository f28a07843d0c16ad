import { z, type IdentityCodec } from '../../core/plugin-api/index.ts';

const identity = z.discriminatedUnion('kind', [
  /** Scope `host`: the bridge with the gateway's address. */
  z.object({
    kind: z.literal('bridge'),
    name: z.string(),
    /** IPv4 with prefix length: the gateway of all guests. */
    address: z.string(),
  }),
  /** Scope `run`. */
  z.object({ kind: z.literal('tap'), name: z.string(), bridge: z.string() }),
  /** Scope `vm`: no object on the host; the claim's key is the allocator's lock. */
  z.object({ kind: z.literal('lease'), subnet: z.string(), address: z.string() }),
]);

export type NetworkIdentity = z.output<typeof identity>;

const observed = z.object({ ifindex: z.int() });
export type NetworkObserved = z.output<typeof observed>;

export const networkIdentity: IdentityCodec<NetworkIdentity, NetworkObserved> = {
  version: 1,
  schema: identity,
  observed,
};
