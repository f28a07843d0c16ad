import { execFile } from 'node:child_process';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { newToken } from '../../../core/token.ts';
import { doubleHost } from '../../support/firecracker-double/host.ts';
import { letThrough } from '../../support/firecracker-double/folder.ts';
import { kernelsFolder, userCache } from '../../support/user-cache.ts';
import type { DaemonPlace } from './daemon.ts';

/** What the daemons of a world are made of: built once, and as it is in the test host. */
export interface CrashKit {
  /** Where dist/ is. */
  readonly product: string;
  /** In QEMU's place. */
  readonly stub: string;
  /** In Firecracker's. Not for the test host, whose KVM boots a real one's guests. */
  readonly double: string;
  readonly preload: string;
  readonly shim: string;
}

export const kitAt = (folder: string): CrashKit => ({
  product: join(folder, 'product'),
  stub: join(folder, 'stub-vmm'),
  double: join(folder, 'double', 'firecracker-now'),
  preload: join(folder, 'preload.mjs'),
  shim: join(folder, 'shim.sh'),
});

/** Host commands that get a shim; a command without one is a failure of the suite, which names it. */
export const tools = [
  'chown',
  'cp',
  'debugfs',
  'dmsetup',
  'e2fsck',
  'firecracker',
  'ip',
  'iptables-restore',
  'iptables-save',
  'losetup',
  'mkfs.ext4',
  'qemu-img',
  'qemu-system-x86_64',
  'resize2fs',
  'rm',
  'ssh-keygen',
  'sysctl',
  'tar',
  'timeout',
  'tune2fs',
];

export interface CrashWorldOptions {
  /** Only read: worlds share it. */
  readonly kit: CrashKit;
  readonly rootfs: string;
  /** Capabilities that are switched off. */
  readonly without?: readonly string[];
  /** A real VMM instead of the stub: QEMU, or the double of Firecracker. */
  readonly guests?: 'qemu' | 'firecracker';
  /** A cache of its own, and a bootstrap of a few files; `none`: nothing is built yet. The user's where absent. */
  readonly images?: 'tiny' | 'none';
  /** Between two questions to a daemon that is not there yet; short where absent, since hundreds of starts wait for it. */
  readonly pollMs?: number;
  /** Of all that they have; the temporary one where absent. */
  readonly folder?: string;
  /** The daemon's, besides what is every world's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Where the daemons of one world live, and what stands around them. */
export interface CrashPlace {
  readonly root: string;
  readonly state: string;
  /** What the preload and the shims are told by. */
  readonly control: string;
  readonly daemon: DaemonPlace;
  /** The way outside for this world's guests: of two that shared one, each would see what the other does. */
  readonly uplink: string;
}

const run = promisify(execFile);

export const forwardingOf = (device: string): string =>
  `/proc/sys/net/ipv4/conf/${device}/forwarding`;

/** A copy of the product with its shims, its preload, its configuration and its uplink. */
export const makePlace = async (options: CrashWorldOptions): Promise<CrashPlace> => {
  const root = await realpath(await mkdtemp(join(options.folder ?? tmpdir(), 'bgc-')));
  const uplink = `bgc${newToken(8)}`;
  await addUplink(uplink);
  try {
    return await furnish(root, uplink, options);
  } catch (error) {
    await removePlace({ root, uplink });
    throw error;
  }
};

export const addUplink = async (uplink: string): Promise<void> => {
  await run('ip', ['link', 'add', 'dev', uplink, 'up', 'type', 'bridge']);
  await writeFile(forwardingOf(uplink), '0');
};

export const removeUplink = async (uplink: string): Promise<void> => {
  await run('ip', ['link', 'delete', 'dev', uplink]);
};

export const removePlace = async ({
  root,
  uplink,
}: Pick<CrashPlace, 'root' | 'uplink'>): Promise<void> => {
  await removeUplink(uplink);
  await rm(root, { recursive: true, force: true });
};

const furnish = async (
  root: string,
  uplink: string,
  { kit, rootfs, without = [], guests, images, pollMs = 5, env: more = {} }: CrashWorldOptions,
): Promise<CrashPlace> => {
  const control = join(root, 'k');
  const bin = join(root, 'b');
  await mkdir(bin);
  if (guests === undefined) await symlink(kit.stub, join(bin, 'qemu-system-x86_64'));
  const seeing = guests === 'firecracker' ? await doubleHost(dirname(kit.double)) : undefined;
  if (seeing !== undefined) {
    await symlink(kit.double, join(bin, 'firecracker'));
    // The double is not root.
    await letThrough(root);
  }
  if (images !== undefined) await makeTinyImages(root, bin);
  // A shim alone would be one that is installed.
  const there = tools.filter((tool) => tool !== 'firecracker' || guests === tool);
  const shims = await makeShims(kit, control, there);
  const config = join(root, 'config.toml');
  await writeFile(
    config,
    (guests === undefined ? '' : `vmm = "${guests}"\n`) +
      '[log]\nlevel = "debug"\n[defaults]\nvcpus = 1\nmemory = "256M"\ndisk_size = "1G"\n' +
      // KVM is the stub's to ignore; it saves the measurement that emulation needs.
      `[qemu]\nacceleration = "${guests === undefined ? 'kvm' : 'auto'}"\n[rootfs]\ndriver = "${rootfs}"\n` +
      `[nat]\nuplinks = ["${uplink}"]\n` +
      `[capabilities]\n${without.map((id) => `${id} = false\n`).join('')}`,
  );
  const runtime = join(root, 'r');
  const state = join(root, 's');
  const realPath = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;
  const env = {
    ...(process.env['HOME'] === undefined ? {} : { HOME: process.env['HOME'] }),
    PATH: `${shims}:${bin}:${realPath}`,
    ...(images !== undefined ? { XDG_CACHE_HOME: join(root, 'c') } : {}),
    BANGER_CONFIG: config,
    BANGER_STATE_DIR: state,
    BANGER_RUNTIME_DIR: runtime,
    BANGER_CRASH_CONTROL: control,
    ...more,
  };
  const socketPath = join(runtime, 'banger.sock');
  const { product, preload } = kit;
  const logPath = join(root, 'daemon.out');
  const daemon = {
    ...{ product, socketPath, preload, env, logPath, pollMs },
    ...(seeing === undefined ? {} : { seeing }),
  };
  return { root, state, control, daemon, uplink };
};

const makeShims = async (
  { shim }: CrashKit,
  control: string,
  there: readonly string[],
): Promise<string> => {
  const shims = join(control, 'shims');
  await mkdir(shims, { recursive: true });
  for (const tool of there) await symlink(shim, join(shims, tool));
  return shims;
};

/** Two blocks of zeros end an archive: tar(5). */
const emptyTar = Buffer.alloc(1024);

const glob = async (folder: string, name: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).flatMap((path) =>
    basename(path) === name ? [join(folder, path)] : [],
  );

/** A bootstrap that takes no minute: the rest of an image's build is as it always is. */
const makeTinyImages = async (root: string, bin: string): Promise<void> => {
  await mkdir(join(root, 'c', 'banger'), { recursive: true });
  const kernels = join(root, 'c', 'banger', kernelsFolder);
  await cp(join(userCache(), kernelsFolder), kernels, { recursive: true });
  for (const manifest of await glob(kernels, 'manifest.json')) {
    await writeFile(join(manifest, '..', 'modules.tar'), emptyTar);
    const { files } = JSON.parse(await readFile(manifest, 'utf8')) as { files: object };
    const sizes = { ...files, 'modules.tar': emptyTar.length };
    await writeFile(manifest, JSON.stringify({ files: sizes }));
  }
  const tree = join(root, 't');
  for (const folder of [
    'root',
    'etc/default',
    'etc/ssh/sshd_config.d',
    'usr/lib/modules',
    'usr/sbin',
  ])
    await mkdir(join(tree, folder), { recursive: true });
  await symlink('usr/lib', join(tree, 'lib'));
  await writeFile(join(tree, 'etc', 'hostname'), 'tiny\n');
  const script = `#!/bin/sh\nfor last; do :; done\nexec tar -cf "$last" -C ${tree} .\n`;
  await writeFile(join(bin, 'mmdebstrap'), script, { mode: 0o755 });
};
