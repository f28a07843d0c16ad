/** An image that banger builds from a distribution's own packages. */
export interface ImageRecipe {
  readonly name: string;
  readonly suite: string;
  readonly init: 'lean' | 'systemd';
  readonly packages: readonly string[];
  /** Name in the kernels capability. */
  readonly kernel: string;
  /** Written over the packages' files. */
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
  'ca-certificates',
  'curl',
  'e2fsprogs',
  'git',
  'iproute2',
  'iputils-ping',
  'kmod',
  'less',
  'make',
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

type RecipeFile = ImageRecipe['files'][number];

/** What every guest has beside its packages. */
const commonFiles: readonly RecipeFile[] = [
  { path: '/etc/ssh/sshd_config.d/banger.conf', content: sshd, mode: 0o644 },
  // mmdebstrap copies these two from the machine that builds; each guest gets its own at the start.
  { path: '/etc/hostname', content: 'localhost\n', mode: 0o644 },
  { path: '/etc/resolv.conf', content: '', mode: 0o644 },
  // Empty, it is machine-id(5)'s "not yet": each guest gets its own at the start.
  { path: '/etc/machine-id', content: '', mode: 0o444 },
  // Read by PAM: a login has it, and tmux, less and git show text as it is.
  { path: '/etc/default/locale', content: 'LANG=C.UTF-8\n', mode: 0o644 },
];

const removed = [
  ...hostKeys,
  // Runs uname at each login to greet with the kernel's version.
  '/etc/update-motd.d/10-uname',
];

const kernel = 'debian-bookworm-cloud';

export const imageRecipes: readonly ImageRecipe[] = [
  {
    name: 'debian-bookworm',
    suite: 'bookworm',
    init: 'lean',
    packages: basics,
    kernel,
    files: [{ path: '/etc/banger/boot', content: leanBoot, mode: 0o755 }, ...commonFiles],
    removed,
  },
  {
    name: 'debian-bookworm-systemd',
    suite: 'bookworm',
    init: 'systemd',
    packages: [...basics, 'dbus', 'systemd-sysv'],
    kernel,
    files: commonFiles,
    removed,
  },
];
