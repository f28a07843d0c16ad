import { z, type IdentityCodec } from '../../core/plugin-api/index.ts';

const identity = z.discriminatedUnion('kind', [
  /** Scope `run`: the iptables rules of one VM, found by the marker in their comment. */
  z.object({ kind: z.literal('rules'), bridge: z.string(), address: z.string() }),
  /** Scope `host`: forwarding was off on this interface before we came. */
  z.object({ kind: z.literal('forwarding'), device: z.string() }),
]);

export type NatIdentity = z.output<typeof identity>;

export const natIdentity: IdentityCodec<NatIdentity, never> = { version: 1, schema: identity };
