import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { components } from '../../../capabilities/firecracker/api/types.ts';
import { encodeCpio } from '../../../capabilities/vsock-agent/cpio.ts';
import { Qmp } from './qmp.ts';
import { announce } from './vsock.ts';

type Schemas = components['schemas'];

/** What a microVM is made of, as the API was told. */
export interface Machine {
  config: Schemas['MachineConfiguration'];
  boot?: Schemas['BootSource'];
  readonly drives: Map<string, Schemas['Drive']>;
  readonly nics: Map<string, Schemas['NetworkInterface']>;
  vsock?: Schemas['Vsock'];
  entropy?: Schemas['EntropyDevice'];
  serial?: Schemas['SerialDevice'];
  metrics?: Schemas['Metrics'];
  balloon?: Schemas['Balloon'];
}

export interface Guest {
  /** Settles when QEMU is gone. */
  readonly ended: Promise<number>;
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Its memory, and all else that QEMU knows of it, into a file. */
  save(path: string): Promise<void>;
  /** The sockets of those ports that the guest's agent has open. */
  openPorts(): readonly string[];
}

const ports = 8;
const portPrefix = 'agent';

/** What an emulated CPU needs besides, as in capabilities/qemu/args.ts. */
const emulated = (tscKhz: string): string[] => [
  'mitigations=off',
  'nokaslr',
  'norandmaps',
  'no_timer_check',
  'noreplace-smp',
  'cryptomgr.notests',
  'tsc=reliable',
  `tsc_early_khz=${tscKhz}`,
];

/**
 * The guest's agent is reached by QEMU's ports here, since QEMU has no vsock without the kernel's vhost: so what the
 * initrd leaves out under Firecracker is added, as a second archive, whose files win.
 */
const withPorts = async (
  initrd: string,
  kernel: string,
  kernels: string,
  to: string,
): Promise<void> => {
  const folder = await folderOf(kernel, kernels);
  const spec = JSON.parse(readFileSync(join(folder, 'kernel.json'), 'utf8')) as {
    initrdModules: readonly string[];
  };
  const added = spec.initrdModules.filter((path) => basename(path).startsWith('virtio_console'));
  const more = encodeCpio([
    {
      name: 'modules/list',
      mode: 0o100644,
      data: Buffer.from(spec.initrdModules.map((path) => `${basename(path)}\n`).join('')),
    },
    ...added.map((path) => ({
      name: `modules/${basename(path)}`,
      mode: 0o100600,
      data: readFileSync(join(folder, path)),
    })),
  ]);
  await writeFile(to, Buffer.concat([await readFile(initrd), more]), { mode: 0o600 });
};

/** Where a kernel's modules are: beside itself, not beside a name for it, which a link or a copy may be. */
const folderOf = async (kernel: string, kernels: string): Promise<string> => {
  // Root's home may be closed to us.
  const own = await realpath(kernel).then(dirname, () => kernels);
  if (existsSync(join(own, 'kernel.json'))) return own;
  const { ino, size } = await stat(kernel);
  const candidates: { folder: string; isSame: boolean; isAlike: boolean; since: number }[] = [];
  for (const name of await readdir(kernels)) {
    const folder = join(kernels, name);
    if (!existsSync(join(folder, 'vmlinux'))) continue;
    const other = await stat(join(folder, 'vmlinux'));
    candidates.push({
      folder,
      isSame: other.ino === ino,
      isAlike: other.size === size,
      since: other.mtimeMs,
    });
  }
  const found =
    candidates.find(({ isSame }) => isSame) ??
    // A copy: of the last build, for the kernel may be that of others as well.
    candidates.toSorted((a, b) => b.since - a.since).find(({ isAlike }) => isAlike);
  if (found === undefined) throw new Error(`The double finds no modules of the kernel ${kernel}.`);
  return found.folder;
};

const comma = (text: string): string => text.replaceAll(',', ',,');

const bootingArgs = (
  boot: NonNullable<Machine['boot']>,
  folder: string,
  tscKhz: string,
): string[] => [
  ...['-kernel', boot.kernel_image_path],
  ...(boot.initrd_path === undefined ? [] : ['-initrd', join(folder, 'initrd')]),
  ...['-append', [boot.boot_args ?? '', ...emulated(tscKhz)].join(' ')],
];

const qemuArgs = (machine: Machine, folder: string, tscKhz: string): string[] => {
  const { config, boot, drives, nics } = machine;
  return [
    ...['-M', 'microvm,acpi=on', '-global', 'virtio-mmio.force-legacy=false'],
    ...['-accel', 'tcg,tb-size=128', '-cpu', 'max'],
    ...['-smp', String(config.vcpu_count), '-m', `${String(config.mem_size_mib)}M`],
    // A reset ends a Firecracker; a guest that powers itself off halts, and it goes on: see onShutdown.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-no-shutdown'],
    ...['-qmp', `unix:${join(folder, 'qmp.sock')},server=on,wait=off`],
    ...['-serial', 'file:/proc/self/fd/3'],
    ...(boot === undefined ? ['-incoming', 'defer'] : bootingArgs(boot, folder, tscKhz)),
    ...[...drives.values()].flatMap(({ drive_id: id, ...drive }) => [
      '-drive',
      `id=${id},file=${comma(drive.path_on_host ?? '')},format=raw,if=none,` +
        `cache=${drive.cache_type === 'Writeback' ? 'writeback' : 'unsafe'}` +
        (drive.is_read_only === true ? ',readonly=on' : ''),
      '-device',
      `virtio-blk-device,drive=${id}`,
    ]),
    ...[...nics.values()].flatMap(({ iface_id: id, host_dev_name: tap, guest_mac: mac }) => [
      ...['-netdev', `tap,id=${id},ifname=${tap},script=no,downscript=no`],
      ...['-device', `virtio-net-device,netdev=${id}${mac === undefined ? '' : `,mac=${mac}`}`],
    ]),
    ...(machine.entropy === undefined ? [] : ['-device', 'virtio-rng-device']),
    ...balloonArgs(machine.balloon),
    ...['-device', `virtio-serial-device,max_ports=${String(ports + 1)}`],
    ...Array.from({ length: ports }, (_, port) => {
      const id = `${portPrefix}${String(port)}`;
      return [
        ...['-chardev', `socket,id=${id},path=${portSocket(folder, id)},server=on,wait=off`],
        ...[
          '-device',
          `virtserialport,id=${id},chardev=${id},name=org.banger.agent.${String(port)}`,
        ],
      ];
    }).flat(),
  ];
};

const balloonArgs = (balloon: Machine['balloon']): string[] => {
  if (balloon === undefined) return [];
  const flag = (name: string, is: boolean | undefined): string =>
    `${name}=${is === true ? 'on' : 'off'}`;
  const options = [
    flag('deflate-on-oom', balloon.deflate_on_oom),
    flag('free-page-reporting', balloon.free_page_reporting),
  ];
  return ['-device', ['virtio-balloon-device', ...options].join()];
};

const portSocket = (folder: string, id: string): string => join(folder, `${id}.sock`);

interface GuestPlaces {
  /** Of its sockets, below the VM's own, with which it goes. */
  readonly folder: string;
  readonly tscTool: string;
  /** Of the host's kernels, a folder each. */
  readonly kernels: string;
  /** The file in which its memory is; it stands still then. */
  readonly from: string | undefined;
}

const migrated = async (qmp: Qmp, gone: AbortSignal): Promise<void> => {
  for (;;) {
    const { status } = (await qmp.execute('query-migrate')) as { readonly status?: string };
    if (status === 'completed') return;
    if (status === 'failed' || gone.aborted) throw new Error('the migration failed');
    await delay(4);
  }
};

const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;

/**
 * Boots the guest in a QEMU that dies with us.
 * @throws Error with QEMU's words
 */
export const bootGuest = async (
  machine: Machine,
  { folder, tscTool, kernels, from }: GuestPlaces,
): Promise<Guest> => {
  await mkdir(folder, { recursive: true });
  const { kernel_image_path: kernel = '', initrd_path: initrd } = machine.boot ?? {};
  if (initrd !== undefined) await withPorts(initrd, kernel, kernels, join(folder, 'initrd'));
  const khz = execFileSync(tscTool, { encoding: 'utf8' }).trim();
  const serial = openSync(machine.serial?.serial_out_path ?? '/proc/self/fd/1', 'a');
  const child = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...qemuArgs(machine, folder, khz)],
    { stdio: ['ignore', 'ignore', 'pipe', serial] },
  );
  const gone = new AbortController();
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'exit').then(([code]) => {
    gone.abort();
    return Number(code ?? 1);
  });
  const open = new Set<string>();
  const onShutdown = (reason: unknown): void => {
    if (reason === 'guest-reset') void qmp.execute('quit');
  };
  const onEvent = (event: string, data: Readonly<Record<string, unknown>>): void => {
    if (event === 'SHUTDOWN') onShutdown(data['reason']);
    if (event !== 'VSERPORT_CHANGE' || typeof data['id'] !== 'string') return;
    if (data['open'] !== true) {
      open.delete(data['id']);
      return;
    }
    if (open.size === 0 && machine.vsock !== undefined) announce(machine.vsock.uds_path);
    open.add(data['id']);
  };
  const qmp: Qmp = await Qmp.connect(join(folder, 'qmp.sock'), gone.signal, onEvent).catch(() => {
    throw new Error(said.trim());
  });
  if (from !== undefined) {
    const load = async (): Promise<void> => {
      await qmp.execute('migrate-incoming', { uri: `exec:cat ${quoted(from)}` });
      await migrated(qmp, gone.signal);
    };
    // Where it cannot be read QEMU ends, and answers nothing.
    const failed = ended.then(() => Promise.reject(new Error(said.trim())));
    failed.catch(() => undefined);
    await Promise.race([load(), failed]);
  }
  return {
    ended,
    execute: (command, args) => qmp.execute(command, args),
    save: async (path) => {
      await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 1024 ** 4 });
      await qmp.execute('migrate', { uri: `exec:cat > ${quoted(path)}` });
      await migrated(qmp, gone.signal);
    },
    openPorts: () => [...open].map((id) => portSocket(folder, id)),
  };
};
