import { randomUUID } from 'node:crypto';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { modulesFile, vmlinuxFile } from '../../capabilities/kernels/build.ts';
import { encodeCpio } from '../../capabilities/vsock-agent/cpio.ts';
import { asFilesRoot, bootstrapMode } from '../../core/host/bootstrap-mode.ts';
import type { Executor } from '../../core/host/executor.ts';
import { diskBytes, diskModules, entries, initScript } from './recipe.ts';

export const rootFile = 'root.raw';
export const initrdFile = 'initrd';
export const kernelFile = 'vmlinux';
/** Opens the host's sshd; made with the disk and of no use elsewhere. */
export const clientKeyFile = 'id_ed25519';
export const hostKeyFile = 'host_ed25519.pub';

export interface DiskSources {
  /** The packages' files, a tar archive. */
  readonly packages: string;
  /** A folder of buildKernel's. */
  readonly kernel: string;
}

interface Context {
  readonly exec: Executor;
  readonly signal: AbortSignal;
  /** An empty folder that goes afterwards. */
  readonly scratch: string;
  say(line: string): void;
}

const timeoutMs = 10 * 60_000;

/** Fills `folder` with all that a test host boots from. */
export const buildDisk = async (
  { packages, kernel }: DiskSources,
  folder: string,
  context: Context,
): Promise<void> => {
  const { exec, scratch, signal, say } = context;
  await exec.require('tar', 'mkfs.ext4', 'ssh-keygen');
  const asRoot = asFilesRoot(exec, await bootstrapMode(exec));
  const options = { signal, timeoutMs };
  const extra = join(scratch, 'extra');
  await mkdir(extra);
  await addEntries(extra);
  await addKeys(extra, folder, exec);
  await addNode(extra, exec);
  const extraArchive = join(scratch, 'extra.tar');
  await exec.run(
    'tar',
    ['-cf', extraArchive, '--owner=0', '--group=0', '--numeric-owner', '-C', extra, '.'],
    options,
  );

  say('unpacking');
  const tree = join(scratch, 'tree');
  await mkdir(tree);
  // A user namespace may not make device nodes, and devtmpfs is mounted over /dev.
  await asRoot(
    'tar',
    ['-xf', packages, '-C', tree, '--numeric-owner', '--anchored', '--exclude=./dev/*'],
    options,
  );
  for (const archive of [join(kernel, modulesFile), extraArchive]) {
    await asRoot(
      'tar',
      [
        '-xf',
        archive,
        '-C',
        tree,
        '--keep-directory-symlink',
        '--numeric-owner',
        '--no-overwrite-dir',
      ],
      options,
    );
  }

  say('writing the disk');
  const root = join(folder, rootFile);
  const handle = await open(root, 'wx', 0o600);
  await handle.truncate(diskBytes).finally(() => handle.close());
  const ext4 = 'lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0';
  await asRoot('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', ext4, '-d', tree, root], options);
  await chmod(root, 0o400); // the template and all clones build on it
  await copyFile(join(kernel, vmlinuxFile), join(folder, kernelFile));
  await writeInitrd(packages, join(kernel, modulesFile), folder, context);
};

const addEntries = async (extra: string): Promise<void> => {
  for (const entry of entries) {
    const path = join(extra, entry.path);
    await mkdir(dirname(path), { recursive: true });
    if ('target' in entry) await symlink(entry.target, path);
    else await writeFile(path, entry.content, { mode: entry.mode ?? 0o644 });
  }
};

const addKeys = async (extra: string, folder: string, exec: Executor): Promise<void> => {
  const ofHost = join(extra, 'etc', 'ssh', 'ssh_host_ed25519_key');
  const ofClient = join(folder, clientKeyFile);
  for (const [path, comment] of [
    [ofHost, 'testhost'],
    [ofClient, `testhost ${randomUUID()}`],
  ] as const)
    await exec.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
  await copyFile(`${ofHost}.pub`, join(folder, hostKeyFile));
  const authorized = join(extra, 'root', '.ssh', 'authorized_keys');
  await mkdir(dirname(authorized), { recursive: true, mode: 0o700 });
  await copyFile(`${ofClient}.pub`, authorized);
};

/** Libraries that every Debian has, or gets by the recipe. */
const common = /^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+))\.so/;

/** This very Node, with what it links to. A distribution's own may have its engine in a library. */
const addNode = async (extra: string, exec: Executor): Promise<void> => {
  const bin = join(extra, 'usr', 'local', 'bin');
  const lib = join(extra, 'usr', 'local', 'lib');
  await mkdir(bin, { recursive: true });
  await mkdir(lib, { recursive: true });
  await cp(process.execPath, join(bin, 'node'), { dereference: true });
  await chmod(join(bin, 'node'), 0o755);
  const { stdout } = await exec.run('ldd', [process.execPath]);
  for (const [, path] of stdout.matchAll(/=> (\/\S+)/g)) {
    if (path === undefined || common.test(basename(path))) continue;
    await cp(path, join(lib, basename(path)), { dereference: true });
  }
};

const writeInitrd = async (
  packages: string,
  modules: string,
  folder: string,
  { exec, scratch, signal }: Context,
): Promise<void> => {
  const parts = join(scratch, 'initrd');
  await mkdir(parts);
  const flat = ['-C', parts, '--no-same-owner', '--wildcards', '--transform=s|.*/||'];
  await exec.run('tar', ['-xf', packages, ...flat, './usr/bin/busybox'], { signal, timeoutMs });
  const wanted = diskModules.map((name) => `*/${name}.ko`);
  await exec.run('tar', ['-xf', modules, ...flat, ...wanted], { signal, timeoutMs });
  const found = await readdir(parts);
  const files = await Promise.all(
    diskModules
      .filter((name) => found.includes(`${name}.ko`))
      .map(async (name, index) => ({
        name: `m/${String(index)}-${name}.ko`,
        mode: 0o100644,
        data: await readFile(join(parts, `${name}.ko`)),
      })),
  );
  const initrd = encodeCpio([
    { name: 'dev', mode: 0o040755 },
    { name: 'root', mode: 0o040755 },
    { name: 'bin', mode: 0o040755 },
    { name: 'bin/busybox', mode: 0o100755, data: await readFile(join(parts, 'busybox')) },
    { name: 'init', mode: 0o100755, data: Buffer.from(initScript) },
    { name: 'm', mode: 0o040755 },
    ...files,
  ]);
  await writeFile(join(folder, initrdFile), initrd);
};
