import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kvmObstacle, type KvmPlaces } from '../../../core/host/kvm.ts';
import { itUnless } from '../../support/skip.ts';

const username = 'dev';

describe('KVM', () => {
  let folder: string;
  let places: KvmPlaces;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-kvm-'));
    const [cpuinfo, kvm, group] = ['cpuinfo', 'kvm', 'group'].map((name) => join(folder, name));
    places = { cpuinfo: cpuinfo ?? '', kvm: kvm ?? '', group: group ?? '', user: username };
    await writeFile(places.cpuinfo, 'processor\t: 0\nflags\t\t: fpu svm sse\nbugs\t\t:\n');
    await writeFile(places.kvm, '');
    await writeFile(places.group, 'root:x:0:\n');
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** @param said by kvm-check */
  const obstacle = (said: string) => kvmObstacle({ check: () => Promise.resolve(said) }, places);

  it('is there where a VM can be made', async () => {
    expect(await obstacle('ok')).toBeUndefined();
    await writeFile(places.cpuinfo, 'flags\t\t: fpu vmx\n');
    expect(await obstacle('ok')).toBeUndefined();
  });

  it.each([
    ['a paravirtual KVM, where /dev/kvm is there and no kernel boots', 'flags\t: fpu sse\n'],
    ['a flag that only begins like one', 'flags\t: fpu vmx_not svm_lock\n'],
    ['a word elsewhere', 'model name\t: svm vmx\nflags\t: fpu\n'],
    ['VMX sub-features alone', 'flags\t: fpu\nvmx flags\t: vnmi ept\n'],
    ['a CPU of another kind', 'Features\t: fp asimd\n'],
    ['nothing at all', ''],
  ])('is not asked for by %s', async (_what, cpuinfo) => {
    await writeFile(places.cpuinfo, cpuinfo);
    const never = (): Promise<string> => Promise.reject(new Error('asked'));
    expect(await kvmObstacle({ check: never }, places)).toEqual({
      detail: 'the CPU offers no virtualization (no vmx or svm flag)',
      remedy: expect.stringContaining('AMD-V in the firmware') as string,
    });
  });

  it.each([
    ['svm', 'kvm_amd'],
    ['vmx', 'kvm_intel'],
  ])('on a CPU with %s comes with the module %s', async (flag, module) => {
    await writeFile(places.cpuinfo, `flags\t: fpu ${flag}\n`);
    expect(await obstacle(`open ${String(constants.errno.ENOENT)}`)).toEqual({
      detail: `${places.kvm} is not there`,
      remedy: `Load the module: sudo modprobe ${module}`,
    });
  });

  it('may be another hypervisor’s', async () => {
    expect(await obstacle(`create ${String(constants.errno.EBUSY)}`)).toEqual({
      detail: 'another hypervisor has the CPU’s virtualization (EBUSY)',
      remedy: expect.stringContaining('modprobe -r vboxnetadp') as string,
    });
  });

  it('says what the kernel said where we know no better', async () => {
    expect((await obstacle(`create ${String(constants.errno.ENOMEM)}`))?.detail).toBe(
      `${places.kvm} makes no VM (ENOMEM)`,
    );
    expect((await obstacle(`version ${String(constants.errno.ENOTTY)}`))?.detail).toBe(
      `${places.kvm} does not answer as KVM does (ENOTTY)`,
    );
    expect((await obstacle(''))?.detail).toBe(
      `${places.kvm} does not answer as KVM does (unknown)`,
    );
  });

  describe('whose device we may not open', () => {
    const forbidden = () => obstacle(`open ${String(constants.errno.EACCES)}`);
    const noRoot = process.getuid?.() === 0 ? undefined : 'only root gives files to groups';

    it('is given to its group where it is its owner’s alone', async () => {
      await chmod(places.kvm, 0o600);
      expect(await forbidden()).toEqual({
        detail: `no permission for ${places.kvm}, which is for its owner alone`,
        remedy:
          `Run: sudo chgrp kvm ${places.kvm} && sudo chmod 0660 ${places.kvm} && ` +
          `sudo usermod -aG kvm ${username}; then log in again, and: banger daemon stop`,
      });
    });

    itUnless(noRoot, 'names the group that may', async () => {
      await chmod(places.kvm, 0o660);
      await chown(places.kvm, (await stat(places.kvm)).uid, 4242);
      await writeFile(places.group, 'root:x:0:\nvirt:x:4242:somebody\n');
      expect(await forbidden()).toEqual({
        detail: `no permission for ${places.kvm}, which is for the group virt`,
        remedy: `Run: sudo usermod -aG virt ${username}; then log in again, and: banger daemon stop`,
      });
      await writeFile(places.group, `virt:x:4242:somebody,${username}\n`);
      expect(await forbidden()).toEqual({
        detail: `no permission for ${places.kvm}, which is for the group virt, which ${username} had not joined at login`,
        remedy: 'For its membership to count, log in again, and: banger daemon stop',
      });
    });
  });
});
