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

/** Where a VM's sshd is, and what it shows: for OpenSSH that goes through us. */
export const sshPlace = z.object({
  host: z.string(),
  port: z.number(),
  /** As in known_hosts: `ssh-ed25519 AAAA…`. */
  hostKey: z.string(),
});

export const sshClient = z.object({
  user: z.string(),
  /** The private key that guests take. */
  identityFile: z.string(),
});

export type SshPlace = z.output<typeof sshPlace>;
export type SshClient = z.output<typeof sshClient>;
export type SshTarget = z.output<typeof sshTarget>;
