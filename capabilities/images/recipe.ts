/** An image that banger builds from a distribution's own packages. */
export interface ImageRecipe {
  readonly name: string;
  readonly suite: string;
  readonly init: 'lean' | 'systemd';
  readonly packages: readonly string[];
  /** Name in the kernels capability. */
  readonly kernel: string;
  /** Written over the packages' files: path, content, mode. */
  readonly files: readonly {
    readonly path: string;
    readonly content: string;
    readonly mode: number;
  }[];
  /** Files of the packages that an image must not have. */
  readonly removed: readonly string[];
}

/** What a developer, or an agent that works for one, finds in each guest. */
const basics = [
  'bash-completion',
  'ca-certificates',
  'curl',
  'git',
  'iproute2',
  'iputils-ping',
  'kmod',
  'less',
  'netbase',
  'openssh-server',
  'procps',
  'sudo',
  'tmux',
  'vim-tiny',
];

/** Run once in the background by the lean init, when the guest is itself (name, network, keys). */
const leanBoot = `#!/bin/sh
# Services of a guest without a service manager.
mkdir -p /run/sshd
[ -x /usr/sbin/sshd ] && [ -s /etc/ssh/ssh_host_ed25519_key ] && exec /usr/sbin/sshd
`;

const sshd = `# Keys come from the host at each start; no one logs in by password.
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
`;

/** The package makes keys when it is installed: they would be the same in every guest. */
const hostKeys = ['rsa', 'ecdsa', 'ed25519'].flatMap((type) => [
  `/etc/ssh/ssh_host_${type}_key`,
  `/etc/ssh/ssh_host_${type}_key.pub`,
]);

const sshdConfig = { path: '/etc/ssh/sshd_config.d/banger.conf', content: sshd, mode: 0o644 };
const kernel = 'debian-bookworm-cloud';

export const imageRecipes: readonly ImageRecipe[] = [
  {
    name: 'debian-bookworm',
    suite: 'bookworm',
    init: 'lean',
    packages: basics,
    kernel,
    files: [{ path: '/etc/banger/boot', content: leanBoot, mode: 0o755 }, sshdConfig],
    removed: hostKeys,
  },
  {
    name: 'debian-bookworm-systemd',
    suite: 'bookworm',
    init: 'systemd',
    packages: [...basics, 'dbus', 'systemd-sysv'],
    kernel,
    files: [sshdConfig],
    removed: hostKeys,
  },
];
