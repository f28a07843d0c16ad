import { readFile, stat } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { BangerError } from '../errors.ts';
import type { Executor } from './executor.ts';
import { nativeProgram } from './native-program.ts';

export interface KvmPlaces {
  readonly cpuinfo: string;
  readonly kvm: string;
  /** Lines as of group(5). */
  readonly group: string;
  /** The user's name, which one without an entry in passwd(5) has not. */
  readonly user: string | undefined;
}

const hostPlaces = (): KvmPlaces => ({
  cpuinfo: '/proc/cpuinfo',
  kvm: '/dev/kvm',
  group: '/etc/group',
  user: process.env['USER'],
});

/** Why KVM is of no use, and how to mend it. */
interface KvmObstacle {
  readonly detail: string;
  readonly remedy: string;
}

/** Tries KVM. */
export interface KvmCheck {
  /** What native/kvm-check.c says of a device. */
  check(device: string): Promise<string>;
}

/** @throws BangerError TOOL_MISSING */
export const kvmCheck = (exec: Executor): KvmCheck => ({
  check: async (device) => {
    const program = nativeProgram('host', 'kvm-check');
    if (program === undefined) {
      throw new BangerError('TOOL_MISSING', 'kvm-check, which tries KVM, is not built', {
        remedy: 'Build it: npm run build',
      });
    }
    return (await exec.run(program, [device])).stdout.trim();
  },
});

const virtualizationFlag = async (cpuinfo: string): Promise<'vmx' | 'svm' | undefined> => {
  const flags = /^flags\s*:(.*)$/m.exec(await readFile(cpuinfo, 'utf8'))?.[1] ?? '';
  const [flag] = /\b(vmx|svm)\b/.exec(flags) ?? [];
  return flag === 'vmx' || flag === 'svm' ? flag : undefined;
};

/**
 * Why KVM is of no use here; undefined where it works. /dev/kvm alone says little: on a paravirtual KVM it opens and
 * even makes VMs, but ordinary kernels hang in them. Without vmx or svm in the CPU's flags it is not used.
 */
export const kvmObstacle = async (
  { check }: KvmCheck,
  places: KvmPlaces = hostPlaces(),
): Promise<KvmObstacle | undefined> => {
  const flag = await virtualizationFlag(places.cpuinfo);
  if (flag === undefined) {
    return {
      detail: 'the CPU offers no virtualization (no vmx or svm flag)',
      remedy:
        'Turn on VT-x or AMD-V in the firmware; for a host that is a VM, nested virtualization.',
    };
  }
  const said = await check(places.kvm);
  if (said === 'ok') return undefined;
  const [step = '', number] = said.split(' ');
  const error = Number(number) > 0 ? getSystemErrorName(-Number(number)) : 'unknown';
  if (step === 'open' && error === 'ENOENT') return absent(places, flag);
  if (step === 'open' && (error === 'EACCES' || error === 'EPERM')) return forbidden(places);
  if (step === 'create' && error === 'EBUSY') {
    return {
      detail: 'another hypervisor has the CPU’s virtualization (EBUSY)',
      remedy: 'End its VMs; of VirtualBox: sudo modprobe -r vboxnetadp vboxnetflt vboxdrv',
    };
  }
  const what = step === 'create' ? 'makes no VM' : 'does not answer as KVM does';
  return {
    detail: `${places.kvm} ${what} (${error})`,
    remedy: 'See why: sudo dmesg | grep -i kvm',
  };
};

const absent = ({ kvm }: KvmPlaces, flag: 'vmx' | 'svm'): KvmObstacle => ({
  detail: `${kvm} is not there`,
  remedy: `Load the module: sudo modprobe ${flag === 'svm' ? 'kvm_amd' : 'kvm_intel'}`,
});

/** Who may: the members of the group that the device has, which is `kvm` by udev's rules. */
const forbidden = async ({ kvm, group, user }: KvmPlaces): Promise<KvmObstacle> => {
  const { mode, gid } = await stat(kvm);
  const lines = (await readFile(group, 'utf8')).split('\n').map((line) => line.split(':'));
  const [name = String(gid), , , members = ''] = lines.find(([, , id]) => Number(id) === gid) ?? [];
  const detail = `no permission for ${kvm}, which is for`;
  const join = (of: string): string => `sudo usermod -aG ${of} ${user ?? '$USER'}`;
  const again = 'log in again, and: banger daemon stop';
  if ((mode & 0o060) !== 0o060 || gid === 0) {
    return {
      detail: `${detail} its owner alone`,
      remedy: `Run: sudo chgrp kvm ${kvm} && sudo chmod 0660 ${kvm} && ${join('kvm')}; then ${again}`,
    };
  }
  return user !== undefined && members.split(',').includes(user)
    ? {
        detail: `${detail} the group ${name}, which ${user} had not joined at login`,
        remedy: `For its membership to count, ${again}`,
      }
    : { detail: `${detail} the group ${name}`, remedy: `Run: ${join(name)}; then ${again}` };
};
