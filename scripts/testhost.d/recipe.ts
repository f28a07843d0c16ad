import type { ImageRecipe } from '../../capabilities/images/recipe.ts';

/** Raise it when the builders put something else into the files than this recipe says. */
export const builderVersion = 1;

/** Sparse. Room for the state directories of the daemons that are tested in there. */
export const diskBytes = 16 * 1024 ** 3;

/** Of QEMU's user-mode network, slirp: the address that it forwards to, its router and its resolver. */
export const network = { address: '10.0.2.15/24', router: '10.0.2.2', resolver: '10.0.2.3' };

/** What banger needs of a host, and what one looks around with. */
const packages = [
  'busybox-static',
  'ca-certificates',
  'curl',
  'dmsetup',
  'e2fsprogs',
  'git',
  'iproute2',
  'iptables',
  'iputils-ping',
  'kmod',
  'less',
  'libstdc++6',
  'lsof',
  'netbase',
  'openssh-client',
  'openssh-server',
  'procps',
  'qemu-system-x86',
  'qemu-utils',
  'socat',
  'strace',
  'sudo',
  'systemd-sysv',
  'udev',
];

/** Loaded at boot, in this order: what the machine that runs the tests may not have. */
export const modules = ['loop', 'tun', 'vhost_vsock', 'kvm_amd', 'dm_snapshot'];

/** For the initrd, which finds the disk: in the order of their dependencies. */
export const diskModules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
];

const sshd = `# Reached from the machine outside alone, with the key made for this disk.
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxSessions 100
MaxStartups 100
`;

const networkUnit = `[Unit]
Description=The network of QEMU's user mode
DefaultDependencies=no
Before=network.target ssh.service
Requires=sys-subsystem-net-devices-eth0.device
After=sys-subsystem-net-devices-eth0.device

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set eth0 up
ExecStart=/usr/sbin/ip address add ${network.address} dev eth0
ExecStart=/usr/sbin/ip route add default via ${network.router}
`;

/** They cost seconds of an emulated boot, or begin at an hour of their own. */
const masked = [
  'apt-daily-upgrade.timer',
  'apt-daily.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'getty@tty1.service',
  'serial-getty@ttyS0.service',
  'systemd-pstore.service',
  'systemd-tmpfiles-clean.timer',
];

/** A link, or a file, of the disk. */
export type HostEntry =
  | { readonly path: string; readonly content: string; readonly mode?: number }
  | { readonly path: string; readonly target: string };

export const entries: readonly HostEntry[] = [
  { path: '/etc/hostname', content: 'testhost\n' },
  { path: '/etc/hosts', content: '127.0.0.1 localhost\n127.0.1.1 testhost\n::1 localhost\n' },
  { path: '/etc/resolv.conf', content: `nameserver ${network.resolver}\n` },
  { path: '/etc/fstab', content: '' },
  // Any: every clone is the same machine, and none sees another.
  { path: '/etc/machine-id', content: 'b0a27e5751057000b0a27e5751057000\n' },
  { path: '/etc/ssh/sshd_config.d/testhost.conf', content: sshd },
  { path: '/etc/modules-load.d/testhost.conf', content: `${modules.join('\n')}\n` },
  // A log on the disk would be written at each boot and read by no one.
  {
    path: '/etc/systemd/journald.conf.d/testhost.conf',
    content: '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n',
  },
  { path: '/etc/systemd/system/testhost-network.service', content: networkUnit },
  {
    path: '/etc/systemd/system/multi-user.target.wants/testhost-network.service',
    target: '/etc/systemd/system/testhost-network.service',
  },
  ...masked.map((unit) => ({ path: `/etc/systemd/system/${unit}`, target: '/dev/null' })),
];

/** As the image builder's mmdebstrap takes it; the rest of an image's recipe has no use here. */
export const packagesRecipe: ImageRecipe = {
  name: 'testhost',
  suite: 'bookworm',
  init: 'systemd',
  packages,
  kernel: '',
  files: [],
  removed: [],
};

/** Finds the disk and goes on from there. Everything in it is busybox. */
export const initScript = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /m/*; do /bin/busybox insmod "$module"; done
tries=0
until [ -b /dev/vda ]; do
  tries=$((tries + 1))
  [ $tries -gt 600 ] && echo 'no disk' && /bin/busybox reboot -f
  /bin/busybox sleep 0.05
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
`;
