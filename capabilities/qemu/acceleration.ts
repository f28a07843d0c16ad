import { access, constants, readFile } from 'node:fs/promises';

export type Acceleration =
  { readonly kind: 'kvm' } | { readonly kind: 'tcg'; readonly why: string };

/**
 * /dev/kvm alone says little: on a paravirtual KVM it opens and even makes VMs, but ordinary kernels
 * hang in them. Without vmx or svm in the CPU's flags it is not used.
 */
export const chooseAcceleration = async (
  setting: 'auto' | 'kvm' | 'tcg',
  paths = { cpuinfo: '/proc/cpuinfo', kvm: '/dev/kvm' },
): Promise<Acceleration> => {
  if (setting === 'kvm') return { kind: 'kvm' };
  if (setting === 'tcg') return { kind: 'tcg', why: 'qemu.acceleration is "tcg"' };
  const flags = /^flags\s*:(.*)$/m.exec(await readFile(paths.cpuinfo, 'utf8'))?.[1] ?? '';
  if (!/\b(vmx|svm)\b/.test(flags))
    return { kind: 'tcg', why: 'the CPU offers no virtualization (no vmx or svm flag)' };
  try {
    await access(paths.kvm, constants.R_OK | constants.W_OK);
    return { kind: 'kvm' };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT'
      ? { kind: 'tcg', why: `${paths.kvm} is not there (modprobe kvm_intel or kvm_amd)` }
      : {
          kind: 'tcg',
          why: `no permission for ${paths.kvm} (sudo usermod -aG kvm $USER, then log in again)`,
        };
  }
};
