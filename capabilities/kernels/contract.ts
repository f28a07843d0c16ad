import { z } from '../../core/plugin-api/index.ts';

export const kernelInfo = z.object({
  name: z.string(),
  /** Null where it is known but was not fetched yet. */
  id: z.string().nullable(),
  release: z.string().nullable(),
  /** On disk, bytes; shared with the user's cache. */
  bytes: z.number().nullable(),
  createdAt: z.string().nullable(),
});

export type KernelInfo = z.output<typeof kernelInfo>;
export const kernelList = z.object({ kernels: z.array(kernelInfo) });
