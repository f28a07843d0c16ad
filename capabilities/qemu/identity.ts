import { pathObserved, z, type IdentityCodec } from '../../core/plugin-api/index.ts';

/** A VM's folder (scope `vm`: logs) or its process with the sockets (scope `run`). */
const identity = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('folder'), path: z.string() }),
  z.object({
    kind: z.literal('process'),
    /** The process's `-name`: it carries our instance's token and the claim's. */
    name: z.string(),
    /** Sockets that QEMU does not remove when it is killed. */
    sockets: z.array(z.string()),
  }),
]);

const observed = z.union([pathObserved, z.object({ pid: z.int(), startTicks: z.number() })]);

export type QemuIdentity = z.output<typeof identity>;
export type QemuObserved = z.output<typeof observed>;

export const qemuIdentity: IdentityCodec<QemuIdentity, QemuObserved> = {
  version: 1,
  schema: identity,
  observed,
};
