import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Reconciled, Scope } from '../../../core/claim.ts';
import type { Host } from '../../../core/host/host.ts';

export interface Subject {
  readonly host: Host;
  readonly token: string;
}

export interface Sample {
  /** What the claim is of; for a union of identities, its `kind`. */
  readonly name: string;
  readonly scope: Scope;
  readonly identity: unknown;
  /** As the kernel would have told once it was held. */
  readonly observed?: unknown;
  /** What reconcile says of a held claim whose object is gone, with the reason if it is not `lost`. */
  readonly gone: Reconciled;
  readonly why?: string;
  /** Makes the object as a crash right after its creation leaves it: by its name alone. */
  make?(): Promise<void>;
  /** Has iptables or network devices, so it needs root and a network namespace. */
  readonly network?: boolean;
}

/** No such file ever has it. */
const pathObserved = { dev: '0', ino: '0' };

const file = (path: string) => ({
  identity: { path },
  observed: pathObserved,
  make: () => writeFile(path, 'x'),
});

const folder = (path: string) => ({
  observed: pathObserved,
  make: async () => {
    await mkdir(path);
    await writeFile(join(path, 'content'), 'x');
  },
});

/** A process that has QEMU's `-name`, and ends by itself should a test forget it. */
const namedProcess = (flag: string, name: string) => async (): Promise<void> => {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)', '--', flag, name], {
    stdio: 'ignore',
  });
  await once(child, 'spawn');
};

/** One of each kind of object that a capability with a teardown takes from the host. */
export const samplesOf: Readonly<Record<string, (subject: Subject) => readonly Sample[]>> = {
  kernels: ({ host, token }) => {
    const path = join(host.directory, `kernel-${token}`);
    const rest = { id: 'k1', name: 'k', release: '6.1', initrdModules: [], createdAt: 'now' };
    return [
      {
        name: 'kernel',
        scope: 'store',
        gone: 'lost',
        ...folder(path),
        identity: { path, ...rest },
      },
    ];
  },

  images: ({ host, token }) => {
    const path = join(host.directory, `image-${token}`);
    const image = {
      kind: 'image',
      path,
      id: 'i1',
      name: 'i',
      recipe: 'r',
      init: 'lean',
      kernelId: 'k1',
      createdAt: 'now',
    };
    return [
      { name: 'image', scope: 'store', gone: 'lost', ...folder(path), identity: image },
      {
        name: 'binding',
        scope: 'vm',
        identity: { kind: 'binding', imageId: 'i1' },
        gone: 'healthy',
        why: 'it has no object of its own',
      },
    ];
  },

  rootfs: ({ host, token }) => {
    const disk = join(host.directory, `root-${token}.qcow2`);
    const link = join(host.directory, `loop-${token}`);
    const name = `banger-${host.instance.token}-${token}`;
    return [
      {
        name: 'disk',
        scope: 'vm',
        gone: 'lost',
        ...file(disk),
        identity: { kind: 'disk', path: disk, driver: 'qcow2' },
      },
      {
        name: 'loop',
        scope: 'run',
        gone: 'lost',
        // Before it is bound: the link, by whose name a loop is known.
        ...file(link),
        identity: { kind: 'loop', number: 4000, path: link },
      },
      {
        name: 'target',
        scope: 'run',
        gone: 'lost',
        identity: { kind: 'target', name, of: 'snapshot' },
        observed: { device: '253:99' },
        // Where the kernel has device-mapper, an intent is looked for with dmsetup.
        network: existsSync('/sys/class/misc/device-mapper'),
      },
    ];
  },

  'work-disk': ({ host, token }) => [
    {
      name: 'disk',
      scope: 'vm',
      gone: 'lost',
      ...file(join(host.directory, `work-${token}.ext4`)),
    },
  ],

  'tap-pool': ({ host, token }) => {
    const name = host.instance.deviceName(token.slice(0, 5));
    const ip = (...args: string[]) => host.exec.run('ip', args, { privileged: true });
    return [
      {
        name: 'bridge',
        scope: 'host',
        identity: { kind: 'bridge', name, address: '10.111.222.1/24' },
        observed: { ifindex: 99_999 },
        gone: 'repaired',
        why: 'in the same boot it is made anew, for the guests that run',
        network: true,
        make: async () => {
          await ip('link', 'add', name, 'type', 'bridge');
        },
      },
      {
        name: 'tap',
        scope: 'run',
        identity: { kind: 'tap', name, bridge: 'bgr-nosuch' },
        observed: { ifindex: 99_999 },
        gone: 'lost',
        network: true,
        make: async () => {
          await ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
        },
      },
      {
        name: 'lease',
        scope: 'vm',
        identity: { kind: 'lease', subnet: '10.111.222.0/24', address: '10.111.222.2' },
        gone: 'healthy',
        why: 'it is nothing but its claim',
      },
    ];
  },

  nat: () => [
    {
      name: 'rules',
      scope: 'run',
      identity: { kind: 'rules', bridge: 'bgr-nosuch', address: '10.111.222.2' },
      gone: 'repaired',
      why: 'a firewall’s reload has flushed them, and the guest still runs',
      network: true,
    },
    {
      name: 'forwarding',
      scope: 'host',
      identity: { kind: 'forwarding', device: 'nosuch0', global: false },
      gone: 'lost',
      network: true,
    },
  ],

  ssh: ({ host, token }) => {
    const path = join(host.directory, `vm-${token}`);
    return [{ name: 'keys', scope: 'vm', gone: 'lost', ...folder(path), identity: { path } }];
  },

  'vsock-agent': ({ host, token }) => [
    {
      name: 'initrd',
      scope: 'run',
      ...file(join(host.directory, `initrd-${token}.cpio`)),
      gone: 'healthy',
      why: 'the kernel has read it long ago',
    },
  ],

  workspace: ({ host, token }) => {
    const path = join(host.directory, `workspace-${token}`);
    const scratch = join(host.directory, `scratch-${token}`);
    const identity = {
      kind: 'workspace',
      path,
      repository: '/home/me/repo',
      base: null,
      guestPath: '/root/repo',
      mode: 'shallow_overlay',
      createdAt: 'now',
    };
    return [
      { name: 'workspace', scope: 'vm', gone: 'lost', ...folder(path), identity },
      {
        name: 'scratch',
        scope: 'host',
        gone: 'lost',
        ...folder(scratch),
        identity: { kind: 'scratch', path: scratch },
      },
    ];
  },

  qemu: ({ host, token }) =>
    vmmSamples(host.directory, token, '-name', `banger-${host.instance.token}-${token}`),
  firecracker: ({ host, token }) =>
    vmmSamples(
      host.directory,
      token,
      '--id',
      `banger-${host.instance.token}-${token}-${'0'.repeat(32)}`,
    ),
};

/** Drivers claim alike; they differ in where a process has its name. */
const vmmSamples = (directory: string, token: string, flag: string, name: string): Sample[] => {
  const path = join(directory, `vm-${token}`);
  return [
    {
      name: 'folder',
      scope: 'vm',
      gone: 'lost',
      ...folder(path),
      identity: { kind: 'folder', path },
    },
    {
      name: 'process',
      scope: 'run',
      identity: { kind: 'process', name, sockets: [join(path, 'control.sock')] },
      // This very process, of another time: a pid that was given anew.
      observed: { pid: process.pid, startTicks: 1 },
      gone: 'lost',
      make: namedProcess(flag, name),
    },
    {
      name: 'user',
      scope: 'vm',
      identity: { kind: 'user', uid: 2_100_000_000 },
      gone: 'healthy',
      why: 'it is nothing but its claim',
    },
  ];
};
