import { spawn, type ChildProcess } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { deadlineSignal } from '../../core/deadline.ts';
import { Qmp } from '../../capabilities/qemu/qmp.ts';
import { initrdFile, kernelFile } from './disk.ts';

/** Memory of the host, MiB. Clones share what they do not write. */
const memoryMib = 4096;
/** Translated code, MiB: the host runs QEMU itself, whose guests' code is translated twice. */
const translationCacheMib = 1024;
/**
 * One: where a kernel patches its own code (text_poke_bp: KVM does at its first VM, for a static key in the scheduler), a
 * second CPU that comes by may repeat the int3 put there for ever, under QEMU 7.2's TCG; once in some hundred VMs. And
 * two hosts of one CPU each do more than one of two.
 */
const cpus = 1;
/** Root ports for disks that come later, and are not in the saved machine. */
export const sparePorts = 4;

export interface MachineOptions {
  /** A folder of buildDisk's. */
  readonly disk: string;
  /** Short: its control socket is in it. Also QEMU's working directory. */
  readonly folder: string;
  /** qcow2, written to. */
  readonly root: string;
  /** Of the host's RAM; `save` leaves it in the file, `clone` reads it from there. */
  readonly memory:
    { readonly kind: 'plain' } | { readonly kind: 'save' | 'clone'; readonly path: string };
  /** A guest's flush reaches the machine's disk: what a power cut is about, and slower. */
  readonly durable: boolean;
  readonly signal: AbortSignal;
}

export interface Machine {
  readonly qmp: Qmp;
  readonly console: string;
  /** Settles when QEMU has ended. */
  readonly exited: Promise<void>;
  /** SIGKILL: the power is cut. */
  kill(): Promise<void>;
}

/** QEMU's option syntax: a comma in a value is written twice. */
const escape = (value: string): string => value.replaceAll(',', ',,');

/** Never changes between save and clone: the saved state is of this very set of devices. */
const machineArgs = ({ disk, root, memory, durable }: MachineOptions): string[] => [
  '-name',
  'banger-testhost',
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
  '-M',
  'q35,memory-backend=ram',
  // SVM is emulated, and /dev/kvm in there works.
  '-accel',
  `tcg,thread=multi,tb-size=${String(translationCacheMib)}`,
  '-cpu',
  'EPYC,+svm',
  '-smp',
  String(cpus),
  '-m',
  `${String(memoryMib)}M`,
  '-object',
  memory.kind === 'plain'
    ? `memory-backend-ram,id=ram,size=${String(memoryMib)}M`
    : `memory-backend-file,id=ram,size=${String(memoryMib)}M,mem-path=${escape(memory.path)},share=${memory.kind === 'save' ? 'on' : 'off'}`,
  '-kernel',
  join(disk, kernelFile),
  '-initrd',
  join(disk, initrdFile),
  '-append',
  'console=ttyS0 quiet net.ifnames=0 mitigations=off nokaslr tsc=reliable audit=0 random.trust_cpu=on cryptomgr.notests norandmaps',
  '-serial',
  'file:console.log',
  '-qmp',
  'unix:qmp.sock,server=on,wait=off',
  '-drive',
  `id=root,file=${escape(root)},format=qcow2,if=none,discard=unmap,cache=${durable ? 'writeback' : 'unsafe'}`,
  '-device',
  'virtio-blk-pci,drive=root,bus=pcie.0,addr=4',
  '-netdev',
  'user,id=net,hostfwd=tcp:127.0.0.1:0-:22',
  '-device',
  'virtio-net-pci,netdev=net,bus=pcie.0,addr=5,romfile=',
  ...Array.from({ length: sparePorts }, (_, port) => [
    '-device',
    `pcie-root-port,id=port${String(port)},chassis=${String(port + 1)},bus=pcie.0,addr=${(0x10 + port).toString(16)}`,
  ]).flat(),
];

/** Raise it when a saved machine of before does not fit. */
export const machineVersion = [2, cpus, memoryMib, translationCacheMib, sparePorts];

/** @param extra more arguments */
export const startMachine = async (
  options: MachineOptions,
  extra: readonly string[] = [],
): Promise<Machine> => {
  const { folder, signal } = options;
  const log = await open(join(folder, 'qemu.log'), 'a', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(
      'setpriv',
      // It ends with whoever started it, however that one ends: prctl(2), PR_SET_PDEATHSIG.
      ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...machineArgs(options), ...extra],
      {
        cwd: folder,
        detached: true, // Ctrl-C is for the script, which cleans up
        stdio: ['ignore', log.fd, log.fd],
      },
    );
  } finally {
    await log.close();
  }
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  const console = join(folder, 'console.log');
  const silent = new AbortController();
  void exited.then(() => {
    silent.abort();
  });
  try {
    const deadline = deadlineSignal(20_000, signal, silent.signal);
    const qmp = await Qmp.connect(join(folder, 'qmp.sock'), deadline);
    return { qmp, console, exited, kill };
  } catch (error) {
    await kill();
    const said = (await (await open(join(folder, 'qemu.log'))).readFile('utf8')).trim();
    throw new Error(`QEMU did not start: ${said}`, { cause: error });
  }
};

/** A line a connection: `TCP[STATE] …`, and one a port that is forwarded. */
export const userNetwork = async (qmp: Qmp): Promise<string> =>
  String(await qmp.execute('human-monitor-command', { 'command-line': 'info usernet' }));

/** The port of 127.0.0.1 that QEMU took for the host's sshd. */
export const sshPort = async (qmp: Qmp): Promise<number> => {
  const text = await userNetwork(qmp);
  const port = /HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)/.exec(text)?.[1];
  if (port === undefined) throw new Error(`QEMU forwards no port:\n${text}`);
  return Number(port);
};
