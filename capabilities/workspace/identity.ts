import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A VM's workspace (scope `vm`), or the folder of one call (scope `host`). Names carry the claim's token. */
const identity = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('workspace'),
    path: z.string(),
    /** Top of the working tree on the host. */
    repository: z.string(),
    /** The commit that the guest began with; null where there was none yet. The guest's own word is never asked. */
    base: z.string().nullable(),
    /** Where it is in the guest. */
    guestPath: z.string(),
    mode: z.enum(['shallow_overlay', 'full_copy', 'metadata_only']),
    createdAt: z.string(),
  }),
  z.object({ kind: z.literal('scratch'), path: z.string() }),
]);

export type WorkspaceIdentity = z.output<typeof identity>;
export type RecordedWorkspace = Extract<WorkspaceIdentity, { kind: 'workspace' }>;

export const workspaceIdentity: IdentityCodec<WorkspaceIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
