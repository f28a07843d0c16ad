import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A VM's work disk: a raw ext4 file whose name carries the claim's token. */
const identity = z.object({
  path: z.string(),
  /** What it was made with; unknown of one made before 0.3.0. */
  bytes: z.number().optional(),
});

export type WorkDiskIdentity = z.output<typeof identity>;

export const workDiskIdentity: IdentityCodec<WorkDiskIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
