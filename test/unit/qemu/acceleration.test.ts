import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseAcceleration } from '../../../capabilities/qemu/acceleration.ts';

describe('acceleration', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-accel-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** @param said by kvm-check */
  const choose = async (setting: 'auto' | 'kvm' | 'tcg', flags: string, said: string) => {
    const cpuinfo = join(folder, 'cpuinfo');
    await writeFile(cpuinfo, `flags\t: ${flags}\n`);
    const kvm = { check: () => Promise.resolve(said) };
    return chooseAcceleration(setting, kvm, {
      cpuinfo,
      kvm: '/dev/kvm',
      group: '/etc/group',
      user: 'dev',
    });
  };
  const absent = `open ${String(constants.errno.ENOENT)}`;

  it('is KVM where that works', async () => {
    expect(await choose('auto', 'fpu vmx', 'ok')).toEqual({ kind: 'kvm' });
  });

  it('is TCG where it does not, and says what would bring it', async () => {
    expect(await choose('auto', 'fpu svm', absent)).toEqual({
      kind: 'tcg',
      why: '/dev/kvm is not there',
      remedy: 'Load the module: sudo modprobe kvm_amd',
    });
    expect((await choose('auto', 'fpu', 'ok')).kind).toBe('tcg');
  });

  it('is what the setting says, whatever the CPU', async () => {
    expect(await choose('kvm', 'fpu', absent)).toEqual({ kind: 'kvm' });
    expect(await choose('tcg', 'fpu svm', 'ok')).toMatchObject({ kind: 'tcg' });
  });
});
