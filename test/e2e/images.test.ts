import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pollUntil } from './support/poll.ts';
import { createWorld, type World } from './support/world.ts';

describe('the default image, with the default size', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ config: '' });
    const { stdout, stderr } = await world.cli(['vm', 'create', 'box']);
    expect(stdout).toBe('box\n');
    expect(stderr).toContain('spec: 2 vcpu · 2048 MiB · 8G disk');
  });
  afterAll(() => world.dispose());

  it('has what a developer expects', async () => {
    const tools = 'git curl make sudo sshd tmux less vi bash';
    const script = `for t in ${tools}; do command -v $t >/dev/null && echo $t; done`;
    expect((await world.guest('box', script)).split('\n')).toEqual(tools.split(' '));
    expect(await world.guest('box', 'ls /etc/ssl/certs/ca-certificates.crt')).toContain('.crt');
    expect(await world.guest('box', 'echo $HOME $USER; pwd; locale charmap')).toBe(
      '/root root\n/root\nUTF-8',
    );
    expect(await world.guest('box', 'bash -lic "alias; echo $PATH" 2>/dev/null')).toContain(
      '/usr/sbin',
    );
  });

  it('has the modules of the kernel that it runs', async () => {
    expect(await world.guest('box', 'modprobe overlay && grep -c overlay /proc/filesystems')).toBe(
      '1',
    );
  });

  it('has disks of the size that was asked for', async () => {
    const sizes = await world.guest('box', 'df -BM --output=size / /root | tail -n 2');
    for (const size of sizes.split('\n')) expect(parseInt(size, 10)).toBeGreaterThan(7_500);
  });

  it('is noticed when it ends by itself, and that is no error', async () => {
    // What `reboot` is for a lean init; the answer may not come any more.
    await world.cli(['vm', 'exec', 'box', '--', 'kill', '-TERM', '1']);
    await pollUntil('the VM to be stopped', 60_000, async () =>
      (await world.show('box')).state === 'stopped' ? true : undefined,
    );
    const { lastError, logs } = await world.show('box');
    expect(lastError).toBeNull();
    expect(await readFile(logs['console'] ?? '', 'utf8')).toBeTypeOf('string');
    expect((await world.cli(['vm', 'logs', 'box'])).code).toBe(0);
  });

  it('boots with systemd where the image asks for it', async () => {
    await world.ok(['vm', 'create', 'sysd', '--image', 'debian-bookworm-systemd']);
    expect(await world.guest('sysd', 'cat /proc/1/comm; hostname')).toBe('systemd\nsysd');
    await world.ok(['vm', 'stop', 'sysd']);
    expect((await world.show('sysd')).lastError).toBeNull();
  });

  it('is not deleted while VMs are of it', async () => {
    const { code, stderr } = await world.cli(['image', 'delete', 'debian-bookworm']);
    expect(code).toBe(125);
    expect(stderr).toContain('box');
    expect(await world.guest('box', 'true').catch(() => 'stopped')).toBe('stopped');
    await world.ok(['vm', 'start', 'box']);
    expect(await world.guest('box', 'echo still here')).toBe('still here');
  });

  it('is listed with its kernel', async () => {
    const images = await world.ok(['image', 'list']);
    expect(images).toContain('debian-bookworm-systemd');
    expect(await world.ok(['kernel', 'list'])).toContain('debian-bookworm-cloud');
  });
});
