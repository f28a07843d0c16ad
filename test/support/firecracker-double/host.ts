import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeCpuinfo } from '../cpuinfo.ts';
import { kernelsFolder } from '../user-cache.ts';
import { kernelsIn } from './folder.ts';

/** major:minor of Documentation/admin-guide/devices.txt, as udev has them. */
const devices = { '/dev/kvm': '10 232', '/dev/net/tun': '10 200' } as const;

/**
 * Firecracker is for hosts with KVM, and runs as a user of its own: so banger is shown a host that has both, whose devices
 * are for everybody, and the double the kernels' modules, which may be in root's home.
 * @param folder of the double
 * @returns a command before another: that sees such a host, in a mount namespace of its own
 */
export const doubleHost = async (folder: string): Promise<readonly [string, ...string[]]> => {
  const cpuinfo = join(folder, 'cpuinfo');
  const nodes = join(folder, 'dev');
  const script = join(folder, 'see-host');
  await writeCpuinfo(cpuinfo);
  for (const path of [nodes, kernelsIn(folder)]) await mkdir(path, { recursive: true });
  const lines = [
    '#!/bin/sh',
    'set -e',
    `mount --bind '${cpuinfo}' /proc/cpuinfo`,
    // Where the folder is, devices may be none: mount(8), nodev.
    `mount -t tmpfs -o mode=0755 tmpfs '${nodes}'`,
    ...Object.entries(devices).flatMap(([path, numbers], index) => [
      `mknod -m 0666 '${nodes}/${String(index)}' c ${numbers}`,
      `mount --bind '${nodes}/${String(index)}' ${path}`,
    ]),
    // That of the daemon, which need not be that of who runs the tests.
    `kernels="\${XDG_CACHE_HOME:-$HOME/.cache}/banger/${kernelsFolder}"`,
    'mkdir -p "$kernels"',
    `mount --bind "$kernels" '${kernelsIn(folder)}'`,
    'exec "$@"',
  ];
  await writeFile(script, `${lines.join('\n')}\n`);
  await chmod(script, 0o755);
  return ['unshare', '--mount', '--', script];
};
