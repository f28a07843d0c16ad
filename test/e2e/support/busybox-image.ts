import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { hasKernels, kernelsFolder, userCache } from '../../support/user-cache.ts';
import { createWorld } from './world.ts';

const run = promisify(execFile);

/** From Debian's busybox-static: one program, without a library. */
const busybox = '/bin/busybox';

/** Users as `adduser` of busybox would leave them: root without a password, and one more. */
const files: Readonly<Record<string, string>> = {
  'etc/passwd': 'root::0:0:root:/root:/bin/sh\ndev::1000:1000:dev:/home/dev:/bin/sh\n',
  'etc/group': 'root:x:0:\nwheel:x:10:dev\ndev:x:1000:\n',
  'etc/profile': 'export PS1="# "\n',
};

/** Where the product puts its own files, and what it takes for granted of any image. */
const folders = ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/lib', 'root', 'home/dev', 'tmp', 'etc'];
const foldersOfOurFiles = ['etc/default', 'etc/ssh/sshd_config.d'];

const writeTree = async (tree: string): Promise<void> => {
  for (const folder of [...folders, ...foldersOfOurFiles])
    await mkdir(join(tree, folder), { recursive: true });
  await run('ln', ['-s', 'usr/lib', join(tree, 'lib')]);
  await run('chmod', ['1777', join(tree, 'tmp')]);
  await run('chown', ['-R', '1000:1000', join(tree, 'home/dev')]);
  await run('cp', [busybox, join(tree, 'bin')]);
  await run('chroot', [tree, busybox, '--install', '-s']);
  for (const [path, content] of Object.entries(files)) await writeFile(join(tree, path), content);
};

/**
 * Variables for a world whose `debian-bookworm` is busybox and nothing else: the product builds it as it builds
 * any image, from the archive of a stand-in for mmdebstrap. Its cache is its own, save for the kernel.
 * @param folder gets all of it
 */
export const busyboxImage = async (folder: string): Promise<Readonly<Record<string, string>>> => {
  const [bin, tree, cache] = ['bin', 'tree', 'cache'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await Promise.all(
    [bin, tree, join(cache, 'banger')].map((path) => mkdir(path, { recursive: true })),
  );
  await writeTree(tree);
  const script = `#!/bin/sh\nfor last; do :; done\nexec tar -cf "$last" -C ${tree} .\n`;
  await writeFile(join(bin, 'mmdebstrap'), script, { mode: 0o755 });
  // The stand-in brings none.
  if (!hasKernels()) {
    await using world = await createWorld();
    await world.ok(['image', 'build', 'debian-bookworm']);
  }
  await run('cp', ['-a', join(userCache(), kernelsFolder), join(cache, 'banger')]);
  return {
    XDG_CACHE_HOME: cache,
    PATH: [bin, process.env['PATH'] ?? '/usr/bin:/bin'].join(delimiter),
  };
};

export const makeBusyboxFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'bge-bb-'));
