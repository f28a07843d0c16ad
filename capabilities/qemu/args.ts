import type { Drive, MachineSpec, Nic } from '../../core/plugin-api/index.ts';
import type { Acceleration } from './acceleration.ts';

/** Ports in the guest for as many agent sessions at once. */
export const agentPorts = 8;

export const qmpSocket = 'qmp.sock';
export const agentSocket = (port: number): string => `agent.${String(port)}.sock`;

/** In QEMU's option syntax a comma in a value is written twice. */
const escape = (value: string): string => value.replaceAll(',', ',,');

/**
 * Megabytes of translated code per VM. The default grows QEMU to 1 GB for a 256 MiB guest; below 64 the
 * boot translates again and again.
 */
const translationCacheMb = 128;

/** Kernel parameters that make the boot shorter, and safe under emulation. */
const bootArgs = (acceleration: Acceleration, tscKhz: number | undefined): string[] => [
  'console=ttyS0',
  'panic=-1',
  'quiet',
  'mitigations=off',
  'audit=0',
  'rcupdate.rcu_expedited=1',
  'random.trust_cpu=on',
  ...(acceleration.kind === 'tcg'
    ? [
        'nokaslr',
        // QEMU 7.2 translates a program anew at each address that it is loaded at: `ls` takes 50 ms, at the same one 10.
        'norandmaps',
        'no_timer_check',
        'noreplace-smp',
        // The crypto self-tests take about 300 ms of an emulated boot.
        'cryptomgr.notests',
        'tsc=reliable',
        // Without it the calibration by the PIT sometimes hangs under TCG.
        ...(tscKhz === undefined ? [] : [`tsc_early_khz=${String(tscKhz)}`]),
      ]
    : []),
];

const drive = ({ id, path, format, readOnly, durable }: Drive): string[] => [
  '-drive',
  `id=${id},file=${escape(path)},format=${format},if=none,cache=${durable ? 'writeback' : 'unsafe'}` +
    (readOnly ? ',readonly=on' : ''),
  '-device',
  `virtio-blk-device,drive=${id},serial=${id}`,
];

const nic = ({ id, tap, mac }: Nic): string[] => [
  '-netdev',
  `tap,id=${id},ifname=${tap},script=no,downscript=no`,
  '-device',
  `virtio-net-device,netdev=${id},mac=${mac}`,
];

/** What the guest begins with. */
const boot = (
  kernelPath: string,
  { initrd, drives, bootArgs: more }: MachineSpec,
  acceleration: Acceleration,
  tscKhz: number | undefined,
): string[] => [
  '-kernel',
  kernelPath,
  ...(initrd === undefined ? [] : ['-initrd', initrd]),
  '-append',
  [
    ...bootArgs(acceleration, tscKhz),
    ...drives.flatMap(({ id, toldBy }) => (toldBy === undefined ? [] : [`${toldBy}=serial=${id}`])),
    ...more,
  ].join(' '),
];

/**
 * QEMU's arguments for a microvm; socket and log paths are relative to the VM's folder, its cwd.
 * @param kernelPath undefined: it waits for a state to go on from
 */
export const qemuArgs = (
  name: string,
  vmId: string,
  machine: MachineSpec,
  kernelPath: string | undefined,
  acceleration: Acceleration,
  tscKhz: number | undefined,
): string[] => [
  '-name',
  name,
  // So that a process which no claim knows tells whose it is.
  '-uuid',
  vmId,
  '-M',
  'microvm,acpi=on',
  '-global',
  'virtio-mmio.force-legacy=false',
  ...(acceleration.kind === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', `tcg,tb-size=${String(translationCacheMb)}`, '-cpu', 'max']),
  '-smp',
  String(machine.vcpus),
  '-m',
  `${String(machine.memoryMib)}M`,
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
  '-no-reboot',
  '-sandbox',
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  '-qmp',
  `unix:${qmpSocket},server=on,wait=off`,
  '-serial',
  // A pipe that leads to console.log, within a bound: see core/vmm/process/native/bounded-output.c.
  'file:/proc/self/fd/3',
  ...machine.drives.flatMap(drive),
  ...machine.nics.flatMap(nic),
  '-device',
  `virtio-serial-device,max_ports=${String(agentPorts + 1)}`,
  ...Array.from({ length: agentPorts }, (_, port) => [
    '-chardev',
    `socket,id=agent${String(port)},path=${agentSocket(port)},server=on,wait=off`,
    '-device',
    `virtserialport,chardev=agent${String(port)},name=org.banger.agent.${String(port)}`,
  ]).flat(),
  // Never inflated: it is there for what the guest reports as free, which goes back to the host.
  '-device',
  'virtio-balloon-device,deflate-on-oom=on,free-page-reporting=on',
  ...(kernelPath === undefined
    ? ['-incoming', 'defer']
    : boot(kernelPath, machine, acceleration, tscKhz)),
];
