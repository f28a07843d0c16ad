import { z } from 'zod';
import type { Claims, IdentityCodec } from '../../claim.ts';
import { pathObserved } from '../../host/owned-path.ts';

/** A VM's folder (scope `vm`: logs) or its process with the sockets (scope `run`). */
const identity = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('folder'), path: z.string() }),
  z.object({
    kind: z.literal('process'),
    /** In the process's arguments: it carries our instance's token and the claim's. */
    name: z.string(),
    /** Sockets, and what else goes with it, that the VMM does not remove when it is killed. */
    sockets: z.array(z.string()),
    /** The folder of its cgroup, should it have one. */
    cgroup: z.string().optional(),
  }),
]);

const observed = z.union([pathObserved, z.object({ pid: z.int(), startTicks: z.number() })]);

export type VmmIdentity = z.output<typeof identity>;
export type VmmObserved = z.output<typeof observed>;
export type VmmClaims = Claims<VmmIdentity, VmmObserved>;

/** What a VMM driver claims. Drivers share it; each has its own rows. */
export const vmmIdentity: IdentityCodec<VmmIdentity, VmmObserved> = {
  version: 1,
  schema: identity,
  observed,
};
