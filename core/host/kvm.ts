import { access, constants, readFile } from 'node:fs/promises';

export interface KvmPaths {
  readonly cpuinfo: string;
  readonly kvm: string;
}

/**
 * Why KVM is of no use here; undefined where it works. /dev/kvm alone says little: on a paravirtual KVM it opens and
 * even makes VMs, but ordinary kernels hang in them. Without vmx or svm in the CPU's flags it is not used.
 */
export const kvmObstacle = async (
  paths: KvmPaths = { cpuinfo: '/proc/cpuinfo', kvm: '/dev/kvm' },
): Promise<string | undefined> => {
  const flags = /^flags\s*:(.*)$/m.exec(await readFile(paths.cpuinfo, 'utf8'))?.[1] ?? '';
  if (!/\b(vmx|svm)\b/.test(flags)) return 'the CPU offers no virtualization (no vmx or svm flag)';
  try {
    await access(paths.kvm, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? `${paths.kvm} is not there (modprobe kvm_intel or kvm_amd)`
      : `no permission for ${paths.kvm} (sudo usermod -aG kvm $USER, then log in again)`;
  }
};
