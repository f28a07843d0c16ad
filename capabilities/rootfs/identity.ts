import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** Scope `vm`: a file whose name carries the claim's token. Under dm-snapshot it is the COW file. */
const disk = z.object({
  kind: z.literal('disk'),
  path: z.string(),
  driver: z.enum(['reflink', 'qcow2', 'dm-snapshot', 'copy']),
  /** Of the image's file system; unknown of a disk that was made before 0.3.0. */
  imageBytes: z.number().optional(),
});

/**
 * Scope `run`: the loop device of that number, over a hard link that was made for it. Its name carries the claim's
 * token, so that the kernel tells whose the device is: of several loops over one image, each shows its own link.
 */
const loop = z.object({ kind: z.literal('loop'), number: z.int().min(0), path: z.string() });

/** Scope `run`: a device-mapper target whose UUID is the claim's marker. */
const target = z.object({
  kind: z.literal('target'),
  name: z.string(),
  /** `base`: the image, continued by zeros, that the snapshot stands on. */
  of: z.enum(['snapshot', 'base']),
});

const identity = z.discriminatedUnion('kind', [disk, loop, target]);

/** Of a target: its device number, `253:0`, told once it was there with our UUID. */
const deviceObserved = z.object({ device: z.string() });
const observed = z.union([pathObserved, deviceObserved]);

export type DiskIdentity = z.output<typeof disk>;
export type LoopIdentity = z.output<typeof loop>;
export type TargetIdentity = z.output<typeof target>;
export type RootfsIdentity = z.output<typeof identity>;
export type RootfsObserved = z.output<typeof observed>;
export type RootfsDriver = DiskIdentity['driver'];

export const rootfsIdentity: IdentityCodec<RootfsIdentity, RootfsObserved> = {
  version: 2,
  schema: identity,
  observed,
  // Version 1 had files only.
  upgrade: (raw) => ({ ...z.object({}).loose().parse(raw), kind: 'disk' }),
};

export const asPath = (observed: RootfsObserved | undefined): PathObserved | undefined =>
  observed !== undefined && 'ino' in observed ? observed : undefined;
