import { z, type IdentityCodec } from '../../core/plugin-api/index.ts';

/** Scope `run`: the iptables rules of one VM, found by the marker in their comment. */
const rules = z.object({ kind: z.literal('rules'), bridge: z.string(), address: z.string() });

/**
 * Scope `host`: forwarding of what comes in by this device was off before banger came, and there is a guard
 * rule that carries our marker.
 */
const forwarding = z.object({
  kind: z.literal('forwarding'),
  device: z.string(),
  /** What the host's global switch said then. */
  global: z.boolean().default(false),
});

const identity = z.discriminatedUnion('kind', [rules, forwarding]);

export type RulesIdentity = z.output<typeof rules>;
export type ForwardingIdentity = z.output<typeof forwarding>;
export type NatIdentity = z.output<typeof identity>;

export const natIdentity: IdentityCodec<NatIdentity, never> = { version: 1, schema: identity };
