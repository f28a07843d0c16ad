import { describe, expect, it } from 'vitest';
import { agentPorts, qemuArgs } from '../../../capabilities/qemu/args.ts';
import type { MachineSpec } from '../../../core/vmm/machine-spec.ts';

const machine: MachineSpec = {
  vcpus: 3,
  memoryMib: 700,
  initrd: '/state/initrd,1.cpio',
  bootArgs: ['banger.init=lean'],
  drives: [
    { id: 'root', path: '/a,b/root.qcow2', format: 'qcow2', readOnly: false, durable: true },
    { id: 'ro', path: '/x', format: 'raw', readOnly: true, durable: false },
  ],
  nics: [{ id: 'net0', tap: 'bgr-aaaaaab', mac: '02:00:00:00:00:01' }],
  seed: { hostname: 'vm', dns: [], files: [] },
  agentChannel: 'ports',
  diskFormats: ['qcow2', 'raw'],
};

const argsFor = (kind: 'kvm' | 'tcg', tscKhz?: number, spec = machine): string[] =>
  qemuArgs(
    'banger-x-y',
    'uuid-1',
    spec,
    '/k,1',
    kind === 'kvm' ? { kind } : { kind, why: '' },
    tscKhz,
  );

/** Values of an option, in order. */
const valuesOf = (args: readonly string[], option: string): string[] =>
  args.flatMap((arg, index) => (arg === option ? (args[index + 1] ?? '') : []));

describe('QEMU’s arguments', () => {
  it('double a comma in option values, and only there', () => {
    const args = argsFor('tcg');
    expect(valuesOf(args, '-drive')[0]).toContain('file=/a,,b/root.qcow2,format=qcow2,');
    // These take a whole argument as the path.
    expect(valuesOf(args, '-kernel')).toEqual(['/k,1']);
    expect(valuesOf(args, '-initrd')).toEqual(['/state/initrd,1.cpio']);
  });

  it('carry size, name and what capabilities added', () => {
    const args = argsFor('tcg');
    expect(valuesOf(args, '-name')).toEqual(['banger-x-y']);
    expect(valuesOf(args, '-smp')).toEqual(['3']);
    expect(valuesOf(args, '-m')).toEqual(['700M']);
    expect(valuesOf(args, '-append')[0]).toMatch(/ banger\.init=lean$/);
    expect(valuesOf(args, '-netdev')).toEqual([
      'tap,id=net0,ifname=bgr-aaaaaab,script=no,downscript=no',
    ]);
  });

  it('flush what is durable, and write to nothing that is read-only', () => {
    const [root, readOnly] = valuesOf(argsFor('kvm'), '-drive');
    expect(root).toContain('cache=writeback');
    expect(root).not.toContain('readonly');
    expect(readOnly).toMatch(/cache=unsafe,readonly=on$/);
  });

  const append = (args: string[]): string => valuesOf(args, '-append')[0] ?? '';

  it('take address space randomization from emulated guests alone', () => {
    expect(append(argsFor('tcg')).split(' ')).toContain('norandmaps');
    expect(append(argsFor('kvm'))).not.toContain('norandmaps');
  });

  it('tell the clock’s frequency under emulation alone', () => {
    expect(append(argsFor('tcg', 2_000_000))).toContain('tsc_early_khz=2000000');
    expect(append(argsFor('tcg'))).not.toContain('tsc_early_khz');
    expect(append(argsFor('kvm', 2_000_000))).not.toContain('tsc');
    expect(valuesOf(argsFor('kvm'), '-accel')).toEqual(['kvm']);
    expect(valuesOf(argsFor('tcg'), '-accel')).toEqual(['tcg,tb-size=128']);
  });

  it('offer the agent its ports, and deny what a VMM never needs', () => {
    const args = argsFor('kvm');
    const ports = valuesOf(args, '-device').filter((value) => value.startsWith('virtserialport'));
    expect(ports).toHaveLength(agentPorts);
    expect(new Set(ports).size).toBe(agentPorts);
    expect(valuesOf(args, '-sandbox')[0]).toContain('spawn=deny');
  });

  it('leave out what is not there', () => {
    const { initrd: _initrd, ...bare } = machine;
    const args = argsFor('kvm', undefined, { ...bare, drives: [], nics: [] });
    for (const option of ['-initrd', '-drive', '-netdev']) expect(args).not.toContain(option);
  });
});
