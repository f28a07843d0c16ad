import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A stored kernel: a folder whose name carries the claim's token. */
const identity = z.object({
  path: z.string(),
  /** Content id. */
  id: z.string(),
  name: z.string(),
  release: z.string(),
  initrdModules: z.array(z.string()),
  createdAt: z.string(),
});

export type KernelIdentity = z.output<typeof identity>;

export const kernelIdentity: IdentityCodec<KernelIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
