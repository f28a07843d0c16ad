import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A VM's work disk: a raw ext4 file whose name carries the claim's token. */
const identity = z.object({ path: z.string() });

export type WorkDiskIdentity = z.output<typeof identity>;

export const workDiskIdentity: IdentityCodec<WorkDiskIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
