import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** The initrd of one run: a file whose name carries the claim's token. */
const identity = z.object({ path: z.string() });

export type AgentIdentity = z.output<typeof identity>;

export const agentIdentity: IdentityCodec<AgentIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
