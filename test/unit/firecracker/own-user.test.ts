import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { furnish } from '../../../capabilities/firecracker/furnish.ts';
import { isDynamic } from '../../../capabilities/firecracker/interpreter.ts';
import { isMapped, reachObstacle } from '../../../capabilities/firecracker/own-user.ts';
import { staged } from '../../../capabilities/firecracker/stage.ts';
import type { Executor } from '../../../core/host/executor.ts';
import type { Drive, MachineSpec } from '../../../core/vmm/machine-spec.ts';
import { noExecutor } from '../../support/ledger.ts';
import { firstOf, needsRoot } from '../../support/reasons.ts';
import { itUnless } from '../../support/skip.ts';
import { tempDir } from '../../support/temp-dir.ts';

const uid = 2_100_000_007;
const command = promisify(execFile);
const exec: Executor = {
  ...noExecutor,
  run: async (file, args) => ({
    ...(await command(file, [...args])),
    exitCode: 0,
    durationMs: 0,
  }),
};

const drive = (id: string, path: string, readOnly = false): Drive => ({
  id,
  path,
  readOnly,
  format: 'raw',
  durable: true,
});

const machine = (drives: Drive[], initrd?: string, kernel?: string): MachineSpec => ({
  vcpus: 1,
  memoryMib: 64,
  ...(initrd === undefined ? {} : { initrd }),
  ...(kernel === undefined
    ? {}
    : { kernel: { id: 'k', release: '6', path: kernel, initrdModules: [] } }),
  bootArgs: [],
  drives,
  nics: [],
  seed: { hostname: 'test', dns: [], files: [] },
  agentChannel: 'vsock',
  diskFormats: ['raw'],
});

/** A folder on another file system than tempDir's. */
const elsewhere = async (): Promise<string> => {
  const path = await mkdtemp('/dev/shm/bgr-t-');
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
};

const otherFileSystem = async (): Promise<string | undefined> => {
  const [shm, tmp] = await Promise.all(
    ['/dev/shm', '/tmp'].map((path) => stat(path).catch(() => undefined)),
  );
  return shm === undefined || shm.dev === tmp?.dev ? 'one file system' : undefined;
};

itUnless(
  needsRoot(),
  'gives the VMM’s user its own files, and of others’ no more than to read',
  async () => {
    const [from, room] = [await tempDir(), await tempDir()];
    const [kernel, initrd, root, base] = ['kernel', 'initrd', 'root', 'base'].map((name) =>
      join(from, name),
    ) as [string, string, string, string];
    for (const path of [kernel, initrd, root, base]) await writeFile(path, path, { mode: 0o600 });
    await chmod(kernel, 0o644);
    await furnish(
      room,
      staged(machine([drive('root', root), drive('base', base, true)], initrd, kernel)).files,
      uid,
      exec,
    );
    const at = (name: string) => stat(join(room, name));
    expect(await at('kernel')).toMatchObject({ ino: (await stat(kernel)).ino, uid: 0 });
    expect(await at('drive-root')).toMatchObject({ ino: (await stat(root)).ino, uid });
    for (const [name, path] of [
      ['initrd', initrd],
      ['drive-base', base],
    ] as const) {
      expect(await at(name)).toMatchObject({ uid, mode: 0o100400 });
      expect(await stat(path)).toMatchObject({ uid: 0, mode: 0o100600, nlink: 1 });
      expect(await readFile(join(room, name), 'utf8')).toBe(path);
    }
  },
);

itUnless(needsRoot(), 'makes a node for a block device, where it is a link as well', async () => {
  const [from, room] = [await tempDir(), await tempDir()];
  const [node, link] = [join(from, 'dm-300'), join(from, 'mapper')];
  // A minor of more than eight bits.
  await command('mknod', [node, 'b', '253', '300']);
  await symlink(node, link);
  await furnish(room, staged(machine([drive('root', link)])).files, uid, exec);
  const made = await stat(join(room, 'drive-root'));
  expect(made.isBlockDevice()).toBe(true);
  expect(made).toMatchObject({ rdev: (await stat(node)).rdev, uid, mode: 0o060600 });
});

itUnless(
  firstOf(needsRoot(), await otherFileSystem()),
  'copies from another file system what is only read, and refuses a disk of the VM’s there',
  async () => {
    const [from, room] = [await elsewhere(), await tempDir()];
    const path = join(from, 'file');
    await writeFile(path, 'text', { mode: 0o644 });
    await furnish(room, staged(machine([drive('base', path, true)])).files, uid, exec);
    expect(await readFile(join(room, 'drive-base'), 'utf8')).toBe('text');
    await expect(
      furnish(room, staged(machine([drive('root', path)])).files, uid, exec),
    ).rejects.toMatchObject({
      code: 'VM_RESOURCES',
      message: expect.stringContaining('on another file system') as string,
    });
    expect(await stat(path)).toMatchObject({ uid: 0 });
  },
);

it('finds what keeps others from a program', async () => {
  const folder = await tempDir();
  const program = join(folder, 'bin', 'program');
  await mkdir(join(folder, 'bin'));
  await writeFile(program, '', { mode: 0o755 });
  expect((await reachObstacle(program))?.detail).toContain(`(${folder} is closed to them)`);
  await chmod(folder, 0o711);
  expect(await reachObstacle(program)).toBeUndefined();
  await chmod(program, 0o711);
  expect((await reachObstacle(program))?.detail).toContain(`(${program} is closed to them)`);
  await chmod(program, 0o755);
  await chmod(join(folder, 'bin'), 0o700);
  const link = join(folder, 'link');
  await symlink(program, link);
  expect((await reachObstacle(link))?.detail).toContain(`(${join(folder, 'bin')} is closed`);
});

it('tells a program that needs libraries from one that does not', async () => {
  const folder = await tempDir();
  const source = join(folder, 'x.c');
  await writeFile(source, 'int main(void) { return 0; }\n');
  const [plain, whole] = [join(folder, 'plain'), join(folder, 'whole')];
  await command('cc', ['-o', plain, source]);
  await command('cc', ['-static-pie', '-o', whole, source]);
  expect(await isDynamic(plain)).toBe(true);
  expect(await isDynamic(whole)).toBe(false);
  expect(await isDynamic(source)).toBe(false);
});

it('knows whether all of the users are in the user namespace', () => {
  const whole = '         0          0 4294967295\n';
  const container = '         0     100000      65536\n';
  expect(isMapped(whole, 2_100_000_000)).toBe(true);
  expect(isMapped(container, 2_100_000_000)).toBe(false);
  expect(isMapped(container, 1_000)).toBe(false);
  expect(isMapped(`${container}     65536     600000     131072\n`, 70_000)).toBe(true);
});
