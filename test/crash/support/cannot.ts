import { firstOf, needsRoot, needsTools } from '../../support/reasons.ts';

/** What no machine without root, a C compiler and the network's tools can do. */
export const cannotCrash = firstOf(
  needsRoot(),
  needsTools(
    'cc',
    'ip',
    'iptables-save',
    'iptables-restore',
    'mkfs.ext4',
    'qemu-img',
    'ssh-keygen',
  ),
);
