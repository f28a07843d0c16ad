import { announcePort, BangerError, type MachineSpec } from '../../core/plugin-api/index.ts';
import type { ApiRequest } from './api/client.ts';
import type { Limits } from './limits.ts';
import { isAtLeast, type Version } from './version.ts';

export const apiSocket = 'api.sock';
export const vsockSocket = 'vsock.sock';
/** To which Firecracker connects what the guest does: docs/vsock.md in its source. */
export const announceSocket = `${vsockSocket}_${String(announcePort)}`;

/**
 * In a room: the folder of the sockets, which becomes the daemon's alone once they are there; and in the VM's folder a link
 * to it, so that their paths are short (107 bytes, unix(7)).
 */
export const hostFolder = 'host';

export interface Paths {
  /** Where the console and the metrics go: to what bounded-output listens on. */
  readonly console: string;
  readonly metrics: string;
  readonly vsock: string;
}

/** In the VM's folder. Outputs are opened anew by Firecracker, so its own descriptors do not matter. */
export const plainPaths: Paths = {
  console: '/proc/self/fd/3',
  metrics: '/proc/self/fd/4',
  vsock: vsockSocket,
};
/** In a room, where outputs are FIFOs. */
export const roomPaths: Paths = {
  console: 'console',
  metrics: 'metrics',
  vsock: `${hostFolder}/${vsockSocket}`,
};

/** 2 is the host; each VM has a socket of its own, so they may all have the same. */
const guestCid = 3;

/** Of vcpu_count in the OpenAPI document. */
const maxVcpus = 32;

/** Since 1.14 the guest's console can go elsewhere than to standard output. */
const serialSince: Version = [1, 14, 0];

/** And the guest can report which pages it has freed (CHANGELOG.md of Firecracker). */
const reportingSince: Version = [1, 14, 0];

/** Firecracker's own default arguments are replaced by ours; of those, what still holds. */
const bootArgs = [
  'console=ttyS0',
  // The guest's `reboot` ends Firecracker by the keyboard controller; a panic does it, too.
  'reboot=k',
  'panic=1',
  'i8042.noaux',
  'i8042.nomux',
  'i8042.dumbkbd',
  '8250.nr_uarts=1',
  'swiotlb=noforce',
  'quiet',
  'audit=0',
  'rcupdate.rcu_expedited=1',
  'random.trust_cpu=on',
];

/** Virtio disks get their letters in the order in which the API hears of them. */
const deviceOf = (index: number): string => `/dev/vd${'abcdefghijklmnopqrstuvwxyz'.charAt(index)}`;

export const hasConsole = (version: Version): boolean => isAtLeast(version, serialSince);

export const metricsRequest = ({ metrics }: Paths): ApiRequest => ({
  method: 'PUT',
  path: '/metrics',
  body: { metrics_path: metrics },
});

export const consoleRequests = (version: Version, { console }: Paths): ApiRequest[] =>
  hasConsole(version)
    ? [{ method: 'PUT', path: '/serial', body: { serial_out_path: console } }]
    : [];

/**
 * What Firecracker is told before the start, in order.
 * @param version fields that it does not know are left out
 * @throws BangerError VM_RESOURCES, INPUT_INVALID
 */
export const configuration = (
  machine: MachineSpec,
  version: Version,
  limits: Limits = {},
  paths: Paths = plainPaths,
): ApiRequest[] => {
  const { kernel, initrd, drives, nics } = machine;
  if (kernel === undefined)
    throw new BangerError('KERNEL_UNKNOWN', 'no capability has named a kernel for this VM');
  if (machine.vcpus > maxVcpus) {
    throw new BangerError(
      'VM_RESOURCES',
      `Firecracker gives a VM ${String(maxVcpus)} virtual CPUs at most, not ${String(machine.vcpus)}`,
      { remedy: `Ask for less: banger vm set NAME --vcpu ${String(maxVcpus)}` },
    );
  }
  const told = drives.flatMap(({ toldBy }, index) =>
    toldBy === undefined ? [] : [`${toldBy}=${deviceOf(index)}`],
  );
  return [
    metricsRequest(paths),
    {
      method: 'PUT',
      path: '/machine-config',
      body: { vcpu_count: machine.vcpus, mem_size_mib: machine.memoryMib },
    },
    ...consoleRequests(version, paths),
    {
      method: 'PUT',
      path: '/boot-source',
      body: {
        kernel_image_path: kernel.path,
        ...(initrd === undefined ? {} : { initrd_path: initrd }),
        boot_args: [...bootArgs, ...told, ...machine.bootArgs].join(' '),
      },
    },
    ...drives.map(
      ({ id, path, readOnly, durable }) =>
        ({
          method: 'PUT',
          path: `/drives/${id}`,
          body: {
            drive_id: id,
            path_on_host: path,
            // The initrd mounts it: the kernel need not know.
            is_root_device: false,
            is_read_only: readOnly,
            // Writeback: the guest's flushes reach the host's disk.
            cache_type: durable ? 'Writeback' : 'Unsafe',
            io_engine: 'Sync',
            ...(limits.disk === undefined ? {} : { rate_limiter: limits.disk }),
          },
        }) as const,
    ),
    ...nics.map(
      ({ id, tap, mac }) =>
        ({
          method: 'PUT',
          path: `/network-interfaces/${id}`,
          body: {
            iface_id: id,
            host_dev_name: tap,
            guest_mac: mac,
            ...(limits.network === undefined
              ? {}
              : { rx_rate_limiter: limits.network, tx_rate_limiter: limits.network }),
          },
        }) as const,
    ),
    {
      method: 'PUT',
      path: '/vsock',
      body: { guest_cid: guestCid, uds_path: paths.vsock },
    },
    { method: 'PUT', path: '/entropy', body: {} },
    // Never inflated: it is there for what the guest reports.
    ...(isAtLeast(version, reportingSince)
      ? [
          {
            method: 'PUT',
            path: '/balloon',
            body: { amount_mib: 0, deflate_on_oom: true, free_page_reporting: true },
          } as const,
        ]
      : []),
  ];
};
