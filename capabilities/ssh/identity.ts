import {
  pathObserved,
  z,
  type IdentityCodec,
  type PathObserved,
} from '../../core/plugin-api/index.ts';

/** A VM's folder with its host key and known_hosts; its name carries the claim's token. */
const identity = z.object({ path: z.string() });

export type SshIdentity = z.output<typeof identity>;

export const sshIdentity: IdentityCodec<SshIdentity, PathObserved> = {
  version: 1,
  schema: identity,
  observed: pathObserved,
};
