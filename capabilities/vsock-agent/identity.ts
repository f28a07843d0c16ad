import { z, type IdentityCodec } from '../../core/plugin-api/index.ts';

/** The initrd of one run: a file whose name carries the claim's token. */
const identity = z.object({ path: z.string() });
const observed = z.object({ dev: z.number(), ino: z.number() });

export type AgentIdentity = z.output<typeof identity>;
export type AgentObserved = z.output<typeof observed>;

export const agentIdentity: IdentityCodec<AgentIdentity, AgentObserved> = {
  version: 1,
  schema: identity,
  observed,
};
