import { z } from '../../core/plugin-api/index.ts';

export const sshConnect = z.strictObject({
  /** Name or id. */
  vm: z.string().min(1),
});

/** All that an OpenSSH client needs. */
export const sshTarget = z.object({
  host: z.string(),
  port: z.number(),
  user: z.string(),
  identityFile: z.string(),
  knownHostsFile: z.string(),
  hostKeyAlias: z.string(),
  /** `-o` options: the known host key and that identity, and nothing else. */
  options: z.array(z.string()),
});

export type SshTarget = z.output<typeof sshTarget>;
