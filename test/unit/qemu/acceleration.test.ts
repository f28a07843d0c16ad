import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseAcceleration } from '../../../capabilities/qemu/acceleration.ts';

describe('acceleration', () => {
  let folder: string;
  const paths = async (cpuinfo: string, hasKvm = true) => {
    const at = { cpuinfo: join(folder, 'cpuinfo'), kvm: join(folder, 'kvm') };
    await writeFile(at.cpuinfo, cpuinfo);
    await rm(at.kvm, { force: true });
    if (hasKvm) await writeFile(at.kvm, '');
    return at;
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-accel-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each(['vmx', 'svm'])('is KVM on a CPU with %s', async (flag) => {
    const cpuinfo = `processor\t: 0\nflags\t\t: fpu ${flag} sse\nbugs\t\t:\n`;
    expect(await chooseAcceleration('auto', await paths(cpuinfo))).toEqual({ kind: 'kvm' });
  });

  it.each([
    ['a paravirtual KVM, where /dev/kvm is there and no kernel boots', 'flags\t: fpu sse\n'],
    ['a flag that only begins like one', 'flags\t: fpu vmx_not svm_lock\n'],
    ['a word elsewhere', 'model name\t: svm vmx\nflags\t: fpu\n'],
    ['VMX sub-features alone', 'flags\t: fpu\nvmx flags\t: vnmi ept\n'],
    ['a CPU of another kind', 'Features\t: fp asimd\n'],
    ['nothing at all', ''],
  ])('is TCG on %s', async (_what, cpuinfo) => {
    expect(await chooseAcceleration('auto', await paths(cpuinfo))).toMatchObject({
      kind: 'tcg',
      why: expect.stringContaining('no vmx or svm flag') as string,
    });
  });

  it('is TCG where the device is absent, and says how to bring it', async () => {
    expect(await chooseAcceleration('auto', await paths('flags\t: svm\n', false))).toMatchObject({
      kind: 'tcg',
      why: expect.stringContaining('modprobe') as string,
    });
  });

  it('is what the setting says, whatever the CPU', async () => {
    const at = await paths('flags\t: fpu\n');
    expect(await chooseAcceleration('kvm', at)).toEqual({ kind: 'kvm' });
    expect((await chooseAcceleration('tcg', await paths('flags\t: svm\n'))).kind).toBe('tcg');
  });
});
