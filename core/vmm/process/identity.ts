import { z } from 'zod';
import type { Claims, IdentityCodec } from '../../claim.ts';
import { pathObserved } from '../../host/owned-path.ts';

/**
 * A VM's folder (scope `vm`: logs), its VMM's user (scope `vm`: no object on the host, the claim's key is the allocator's
 * lock), or its process with the sockets (scope `run`).
 */
const identity = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('folder'), path: z.string() }),
  z.object({ kind: z.literal('user'), uid: z.int() }),
  z.object({
    kind: z.literal('process'),
    /** In the process's arguments: it carries our instance's token and the claim's. */
    name: z.string(),
    /** Sockets, and what else goes with it, that the VMM does not remove when it is killed. */
    sockets: z.array(z.string()),
    /** The folder of its cgroup, should it have one. */
    cgroup: z.string().optional(),
    /** The run's room, should it have one: a folder in the VM's own, its name with the claim's token. */
    room: z.string().optional(),
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
