import { execFile } from 'node:child_process';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  readFile,
  readlink,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeUnless, firstOf, needsRoot, needsTools } from '../support/skip.ts';
import { treeOf } from '../support/tree-of.ts';
import { runProgram, type Outcome } from './support/run-program.ts';
import { createWorld, type World } from './support/world.ts';

// As root, because only root may have a ~/.ssh of the test's own mounted over the real one.
const reason = firstOf(
  needsRoot(),
  needsTools('ssh', 'scp', 'rsync', 'ssh-keygen', 'unshare', 'mount', 'ldd'),
);

describeUnless(reason, 'OpenSSH', () => {
  let world: World;
  let dotSsh: string;
  let madeMountPoint: string | undefined;
  const home = userInfo().homedir;

  /** Runs a program for which ~/.ssh is a folder of the test's: OpenSSH finds it by the password file alone. */
  const run = (...argv: readonly string[]): Promise<Outcome> => {
    const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
    return runProgram(
      'unshare',
      ['--mount', 'sh', '-c', script, dotSsh, join(home, '.ssh'), ...argv],
      { env: world.env },
    );
  };
  const banger = (...args: readonly string[]): Promise<Outcome> =>
    run(join(world.product, 'bin', 'banger'), ...args);
  const text = (): Promise<string> => readFile(join(dotSsh, 'config'), 'utf8');

  beforeAll(async () => {
    // For the mount alone, where there is none yet.
    madeMountPoint = await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 });
    world = await createWorld();
    dotSsh = join(world.root, 'dot-ssh');
    await mkdir(dotSsh, { mode: 0o700 });
    await world.ok(['vm', 'create', 'box']);
  });
  afterAll(async () => {
    await world.dispose();
    if (madeMountPoint !== undefined) await rmdir(madeMountPoint);
  });

  it('is set up by one line, and that is taken back to the byte', async () => {
    const original = 'Host *\n  User nobody\n  ControlPath /tmp/%C';
    await writeFile(join(dotSsh, 'config.real'), original, { mode: 0o640 });
    await chmod(join(dotSsh, 'config.real'), 0o640);
    await symlink('config.real', join(dotSsh, 'config'));
    expect((await banger('ssh-config', '--install')).stderr).toContain('one line was added');
    const installed = await text();
    expect(installed.split('\n').slice(1).join('\n')).toBe(original);
    expect(installed).toMatch(/^Include \S+\/c\/ssh_config\n/);
    expect((await banger('ssh-config', '--install')).stderr).toContain('has it already');
    expect(await text()).toBe(installed);
    expect((await banger('ssh-config', '--uninstall')).code).toBe(0);
    expect(await text()).toBe(original);
    expect((await stat(join(dotSsh, 'config'))).mode & 0o7777).toBe(0o640);
    expect(await readlink(join(dotSsh, 'config'))).toBe('config.real');
    await expect(lstat(join(world.root, 'c', 'ssh_config'))).rejects.toThrow('ENOENT');
    expect((await banger('ssh-config', '--install')).code).toBe(0);
  });

  it('logs in by name, against the host key that was known from the start', async () => {
    const said = await run('ssh', 'box.vm', 'hostname; whoami; exit 7');
    expect(said).toMatchObject({ code: 7, stdout: 'box\nroot\n', stderr: '' });
    const names = ['config', 'config.real'];
    expect(Object.keys(await treeOf(dotSsh)).sort()).toEqual(names);
  });

  it('refuses a VM that shows another host key', async () => {
    const key = '/etc/ssh/ssh_host_ed25519_key';
    await world.guest(
      'box',
      `cp ${key} /root/old; rm ${key}; ssh-keygen -q -t ed25519 -N '' -f ${key}; pkill -HUP -o sshd`,
    );
    const refused = await run('ssh', 'box.vm', 'true');
    expect(refused.code).toBe(255);
    expect(refused.stderr).toContain('Host key verification failed');
    await world.guest('box', `cp /root/old ${key}; pkill -HUP -o sshd`);
    expect((await run('ssh', 'box.vm', 'true')).code).toBe(0);
  });

  it('says which VM is not there, or does not run', async () => {
    const unknown = await run('ssh', 'nosuch.vm', 'true');
    expect(unknown.code).toBe(255);
    expect(unknown.stderr).toContain("there is no VM named 'nosuch'");
  });

  it('scp copies', async () => {
    await writeFile(join(world.root, 'note'), 'by scp');
    expect((await run('scp', '-q', join(world.root, 'note'), 'box.vm:/root/a')).code).toBe(0);
    expect((await run('scp', '-q', 'box.vm:/root/a', join(world.root, 'back'))).code).toBe(0);
    expect(await readFile(join(world.root, 'back'), 'utf8')).toBe('by scp');
  });

  it('rsync brings a folder in and back', async () => {
    const remote = await bringRsync(world);
    const folder = join(world.root, 'site');
    await mkdir(join(folder, 'sub'), { recursive: true });
    await writeFile(join(folder, 'sub', 'page'), 'hello', { mode: 0o640 });
    await symlink('sub/page', join(folder, 'link'));
    const rsync = (...words: readonly string[]) =>
      run('rsync', '-a', `--rsync-path=${remote}`, ...words);
    expect(await rsync(`${folder}/`, 'box.vm:/root/site/')).toMatchObject({ code: 0, stderr: '' });
    await world.guest('box', 'echo more >> /root/site/sub/page');
    expect((await rsync('box.vm:/root/site/', `${folder}-back/`)).code).toBe(0);
    expect(await readFile(join(`${folder}-back`, 'sub', 'page'), 'utf8')).toBe('hellomore\n');
    expect(await readlink(join(`${folder}-back`, 'link'))).toBe('sub/page');
  });
});

/** The image has no rsync, and a test needs no network: ours, with its own libraries and their loader. */
const bringRsync = async (world: World): Promise<string> => {
  const folder = join(world.root, 'rsync');
  await mkdir(folder);
  const program = (await promisify(execFile)('sh', ['-c', 'command -v rsync'])).stdout.trim();
  const { stdout } = await promisify(execFile)('ldd', [program]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? '');
  for (const path of [program, ...libraries])
    await cp(path, join(folder, basename(path)), { dereference: true });
  await world.ok(['vm', 'cp', folder, 'box:/opt/rsync']);
  await rm(folder, { recursive: true });
  const loader = libraries.map((path) => basename(path)).find((name) => name.startsWith('ld-'));
  return `/opt/rsync/${loader ?? ''} --library-path /opt/rsync /opt/rsync/rsync`;
};
