import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeUnless, firstOf, needsRoot, needsTools } from '../support/skip.ts';
import { leftovers } from './support/leftovers.ts';
import {
  copyWarmCache,
  createUserWorld,
  hasUserNamespaces,
  tunMode,
  withTunMode,
  type UserWorld,
} from './support/user-world.ts';

const reason = firstOf(needsRoot(), needsTools('useradd', 'setpriv', 'sudo', 'getent'));

/** The real uid of a live process: proc(5), the first of four. */
const uidOf = async (pid: number | null): Promise<number> => {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
};

describeUnless(reason, 'an ordinary user', () => {
  describe('with passwordless sudo', () => {
    let world: UserWorld;
    let tun: AsyncDisposable;
    beforeAll(async () => {
      tun = await tunMode(0o666);
      world = await createUserWorld();
      await copyWarmCache(world);
    });
    afterAll(async () => {
      try {
        await world[Symbol.asyncDispose]();
      } finally {
        await tun[Symbol.asyncDispose]();
      }
    });

    it('runs a command in a VM that is gone afterwards', async () => {
      const outcome = await world.cli('vm', 'run', '--rm', '--', 'id', '-u');
      expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0, stdout: '0\n' });
      expect(await world.list()).toEqual([]);
    });

    it('has VMs of its own: process, sockets and files', async () => {
      await world.ok('vm', 'create', 'box');
      const { pid, logs } = await world.show('box');
      // QEMU itself, not a sudo in front of it.
      expect(await readlink(`/proc/${String(pid)}/exe`)).toContain('qemu-system-x86_64');
      expect(await uidOf(pid)).toBe(world.user.uid);
      const folder = await readlink(`/proc/${String(pid)}/cwd`);
      for (const path of [
        world.socketPath,
        join(folder, 'qmp.sock'),
        join(folder, 'agent.0.sock'),
        logs['console'] ?? '',
        join(world.stateDirectory, 'banger.db'),
      ]) {
        const { uid, mode } = await stat(path);
        expect([path, uid]).toEqual([path, world.user.uid]);
        if (path === world.socketPath) expect(mode & 0o777).toBe(0o600);
      }
      expect((await stat(world.stateDirectory)).mode & 0o777).toBe(0o700);
    });

    it('logs in by SSH and by exec', async () => {
      expect(await world.ok('vm', 'exec', 'box', '--', 'hostname')).toBe('box');
      expect(await world.ok('vm', 'ssh', 'box', '--', 'hostname')).toBe('box');
    });

    it('finds all well with doctor', async () => {
      const { stdout, exitCode } = await world.cli('doctor');
      expect(exitCode, stdout).toBe(0);
    });

    it('stops and deletes them, and nothing is left', async () => {
      const { pid } = await world.show('box');
      await world.ok('vm', 'stop', 'box');
      await expect(stat(`/proc/${String(pid)}`)).rejects.toThrow('ENOENT');
      await world.ok('vm', 'delete', 'box');
      const { token } = JSON.parse(
        await readFile(join(world.stateDirectory, 'instance.json'), 'utf8'),
      ) as { token: string };
      await world.ok('daemon', 'stop');
      expect(await leftovers({ instance: token, folders: [world.user.home] })).toEqual([]);
    });

    it('who may not open /dev/net/tun is told how, and no record is left', async () => {
      await withTunMode(0o600, async () => {
        const outcome = await world.cli('vm', 'create', 'no-tun');
        expect(outcome.exitCode).toBe(125);
        expect(outcome.stderr).toContain(
          'banger: no permission for /dev/net/tun. Run: sudo chmod 0666 /dev/net/tun\n',
        );
        expect(await world.list()).toEqual([]);
      });
    });
  });

  it('without sudo is told what is missing, and no record is left', async () => {
    await withTunMode(0o666, async () => {
      await using world = await createUserWorld({ sudo: false });
      const outcome = await world.cli('vm', 'create', 'no-sudo');
      expect(outcome.exitCode).toBe(125);
      expect(outcome.stderr).toMatch(
        /banger: this needs root, and the daemon has no way to it \(.+\)\. Run as root, or allow your user passwordless sudo \(NOPASSWD\)\.\n/,
      );
      expect(await world.list()).toEqual([]);
    });
  });

  it('builds an image, without sudo where user namespaces allow it', async () => {
    await using world = await createUserWorld({ sudo: !(await hasUserNamespaces()) });
    // The image's packages take a minute. The kernel's takes the same way through mmdebstrap.
    await copyWarmCache(world, (folder) => folder.startsWith('images/packages-'));
    await world.ok('image', 'build', 'debian-bookworm');
    expect(await world.ok('image', 'list')).toContain('debian-bookworm');
    const cache = join(world.user.home, '.cache/banger');
    for (const name of await readdir(cache, { recursive: true }))
      expect([name, (await stat(join(cache, name))).uid]).toEqual([name, world.user.uid]);
  });
});
