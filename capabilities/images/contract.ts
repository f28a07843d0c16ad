import { z } from '../../core/plugin-api/index.ts';

export const imageInfo = z.object({
  name: z.string(),
  /** Content id; null where it is known but not built yet. */
  id: z.string().nullable(),
  init: z.enum(['lean', 'systemd']),
  kernel: z.string(),
  /** What the root disk and the work seed take on disk. */
  bytes: z.number().nullable(),
  createdAt: z.string().nullable(),
  /** Ids of the VMs that are of this image. */
  usedBy: z.array(z.string()),
});

export type ImageInfo = z.output<typeof imageInfo>;

export const imageName = z.strictObject({ name: z.string().min(1) });
export const imageBuild = z.strictObject({
  name: z.string().min(1),
  /** From the newest packages, though it is built already. VMs keep the image that they are of. */
  rebuild: z.boolean().default(false),
});
export const imageList = z.object({ images: z.array(imageInfo) });
export const imageDeleted = z.object({ deleted: z.array(z.string()) });
