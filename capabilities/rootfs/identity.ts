import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A VM's root disk: a file whose name carries the claim's token. */
const identity = z.object({
  path: z.string(),
  driver: z.enum(['reflink', 'qcow2', 'copy']),
  /** Bytes, where the disk is larger than the image's file system. */
  grownTo: z.number().optional(),
});

export type RootfsIdentity = z.output<typeof identity>;
export type RootfsDriver = RootfsIdentity['driver'];

export const rootfsIdentity: IdentityCodec<RootfsIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
