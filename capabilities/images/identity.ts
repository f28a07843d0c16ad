import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A stored image (scope `store`), or that a VM is of an image (scope `vm`; no object of its own). */
const identity = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('image'),
    /** A folder whose name carries the claim's token. */
    path: z.string(),
    /** Content id. */
    id: z.string(),
    name: z.string(),
    /** Hash of the recipe: a changed one means another image of the same name. */
    recipe: z.string(),
    init: z.enum(['lean', 'systemd']),
    kernelId: z.string(),
    createdAt: z.string(),
  }),
  z.object({ kind: z.literal('binding'), imageId: z.string() }),
]);

export type ImagesIdentity = z.output<typeof identity>;
export type StoredIdentity = Extract<ImagesIdentity, { kind: 'image' }>;

export const imagesIdentity: IdentityCodec<ImagesIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
