import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { send } from '../../capabilities/firecracker/api/client.ts';
import { tracesOf } from '../e2e/support/leftovers.ts';
import { pollUntil } from '../e2e/support/poll.ts';
import { createWorld, type World } from '../e2e/support/world.ts';
import { doubleIn } from '../support/firecracker-double/make.ts';
import { itUnless, needsTools } from '../support/skip.ts';

const command = promisify(execFile);
const never = new AbortController().signal;

/** Opens each tap whose name begins so, and says by its pid in a file that it has; linux/if_tun.h: TUNSETIFF, IFF_TAP | IFF_NO_PI. */
const holdTaps = `
import fcntl, os, signal, struct, sys
prefix, held = sys.argv[1:]
taps = [name for name in os.listdir('/sys/class/net')
        if name.startswith(prefix) and os.path.exists(f'/sys/class/net/{name}/tun_flags')]
files = []
for name in taps:
    file = open('/dev/net/tun', 'rb+', 0)
    fcntl.ioctl(file, 0x400454CA, struct.pack('16sH22x', name.encode(), 0x1002))
    files.append(file)
with open(held + '.part', 'w') as file:
    file.write(str(os.getpid()))
os.rename(held + '.part', held)
signal.pause()
`;

/** The folder of a world's only VM. */
const folderOf = async (world: World): Promise<string> => {
  const drivers = join(world.stateDirectory, 'firecracker');
  const [name = 'none'] = await readdir(drivers);
  return join(drivers, name);
};

/** Nothing of a VM that does not run: no process, no link but the pool's own, no claim without its object. */
const expectNothing = async (world: World): Promise<void> => {
  expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  const left = (await tracesOf(await world.traces())).join('\n');
  expect(left).not.toMatch(/--id|qemu-system/);
};

describe('a start that Firecracker fails', () => {
  let world: World;
  let binary: string;
  beforeAll(async () => {
    world = await createWorld();
    binary = join(world.root, 'f', 'firecracker-now');
    await world.ok(['vm', 'create', '--name', 'box']);
  });
  afterAll(() => world.dispose());
  const become = async (options: Parameters<typeof doubleIn>[1]): Promise<void> => {
    // The usual one is written where it is by this.
    const other = await doubleIn(join(world.root, 'f'), options);
    if (other !== binary) await copyFile(other, binary);
  };
  /** @returns what standard error says */
  const refused = async (): Promise<string> => {
    const { code, stderr } = await world.cli(['vm', 'start', 'box']);
    expect(code).toBe(125);
    expect((await world.show('box')).state).toBe('stopped');
    await expectNothing(world);
    return stderr;
  };
  const works = async (): Promise<void> => {
    if ((await world.show('box')).state !== 'running') await world.ok(['vm', 'start', 'box']);
    expect(await world.guest('box', 'echo works')).toBe('works');
    await world.ok(['vm', 'stop', 'box']);
    await expectNothing(world);
  };

  it('is none where it is asked for twice', async () => {
    const socket = join(await folderOf(world), 'host', 'api.sock');
    const again = {
      method: 'PUT',
      path: '/actions',
      body: { action_type: 'InstanceStart' },
    } as const;
    await expect(send(socket, again, never)).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: expect.stringContaining('not supported after starting') as string,
    });
    expect(await world.guest('box', 'echo still here')).toBe('still here');
    await world.ok(['vm', 'stop', 'box']);
    const starts = await Promise.all([0, 1].map(() => world.cli(['vm', 'start', 'box'])));
    expect(starts.map(({ code }) => code)).toContain(0);
    for (const { code, stderr } of starts)
      if (code !== 0) expect(stderr).toContain("VM 'box' is busy: start");
    await works();
  });

  it('is none where sockets of an earlier run are there', async () => {
    const folder = await folderOf(world);
    for (const name of ['host', 'snapshot.state']) await writeFile(join(folder, name), '');
    await works();
  });

  it('is none where the process is dead, and another answers on its socket', async () => {
    await world.ok(['vm', 'start', 'box']);
    const { pid } = await world.show('box');
    await world.killDaemon();
    process.kill(pid ?? 0, 'SIGKILL');
    const socket = join(await folderOf(world), 'host', 'api.sock');
    await rm(socket);
    const other = createServer((client) =>
      client.end('HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n'),
    ).listen(socket);
    await once(other, 'listening');
    try {
      expect((await world.show('box')).state).toBe('stopped');
      await expectNothing(world);
      await works();
    } finally {
      other.close();
    }
  });

  it('tells that it was killed in the middle', async () => {
    await become({ diesAtStart: true });
    expect(await refused()).toMatch(/Firecracker ended at once \(SIGKILL\)/);
    await become({});
    await works();
  });

  it('is refused before anything is made, by a version that is too old', async () => {
    await become({ version: '1.9.0' });
    const stderr = await refused();
    expect(stderr).toMatch(/version 1\.9\.0 is too old.*Install 1\.10\.0 or a later one/s);
    expect(stderr).not.toContain('rootfs: done');
    await become({});
  });

  it('is none under a version that has no console of its own', async () => {
    await become({ version: '1.10.1' });
    await world.ok(['vm', 'start', 'box']);
    const { logs } = await world.show('box');
    expect(logs['console']).toBe(logs['vmm']);
    await works();
    await become({});
  });

  itUnless(needsTools('python3'), 'names the tap that somebody else has', async () => {
    const { instance } = await world.status();
    // Firecracker's user is not root, and neither is who runs before it.
    const own = join(world.root, 'f', 'own');
    await mkdir(own);
    await chmod(own, 0o777);
    const held = join(own, 'held');
    const [program, itself] = ['hold.py', 'itself'].map((name) => join(world.root, 'f', name)) as [
      string,
      string,
    ];
    await writeFile(program, holdTaps);
    await copyFile(binary, itself);
    // Somebody has it a moment before Firecracker would.
    const first = `case "$*" in *--api-sock*)
  python3 '${program}' 'bgr-${instance}' '${held}' </dev/null >/dev/null 2>&1 &
  until [ -s '${held}' ]; do sleep 0.02; done
esac`;
    await writeFile(binary, `#!/bin/sh\n${first}\nexec '${itself}' "$@"\n`);
    await chmod(itself, 0o755);
    try {
      expect(await refused()).toMatch(
        new RegExp(`Cannot open/create the tap device.*busy.*bgr-${instance}`, 's'),
      );
    } finally {
      process.kill(Number(await readFile(held, 'utf8')), 'SIGKILL');
      await become({});
    }
    await works();
  });
});

describe('a disk that is full', () => {
  it('takes no more of a log, and the VM runs', async () => {
    const world = await createWorld();
    const folder = join(world.stateDirectory, 'firecracker');
    try {
      await world.ok(['vm', 'create', '--name', 'box']);
      await world.ok(['vm', 'stop', 'box']);
      // Every write to it fails with ENOSPC, full(4).
      for (const name of ['console', 'vmm', 'metrics']) {
        const path = join(await folderOf(world), `${name}.log`);
        await rm(path);
        await symlink('/dev/full', path);
      }
      await world.ok(['vm', 'start', 'box']);
      await world.guest(
        'box',
        'i=0; while [ $i -lt 3000 ]; do echo flood $i > /dev/console; i=$((i+1)); done',
      );
      expect(await world.guest('box', 'echo runs')).toBe('runs');
      await world.ok(['vm', 'delete', '--force', 'box']);
      await pollUntil('nothing of the VM', 10_000, async () =>
        (await readdir(folder)).length === 0 ? true : undefined,
      );
    } finally {
      await world.dispose();
    }
  });
});

describe('a state directory of several file systems', () => {
  it('is told of at the start, for Firecracker’s user reaches disks by hard links', async () => {
    const world = await createWorld();
    const folder = join(world.stateDirectory, 'firecracker');
    await mkdir(folder, { recursive: true });
    await command('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0700', 'tmpfs', folder]);
    try {
      const { code, stderr } = await world.cli(['vm', 'create', '--name', 'box']);
      expect(code).toBe(125);
      expect(stderr).toMatch(/the disk \S+ is on another file system.*BANGER_STATE_DIR/s);
      await expectNothing(world);
      expect((await readdir(folder, { recursive: true })).join()).not.toContain('run-');
      await world.ok(['daemon', 'stop']);
    } finally {
      await command('umount', [folder]);
      await world.dispose();
    }
  });
});
