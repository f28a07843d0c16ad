import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, readlink, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pollUntil } from './support/poll.ts';
import { createWorld, type World } from './support/world.ts';

describe('one VM, through the CLI', () => {
  let box: World;
  beforeAll(async () => {
    box = await createWorld({ config: '' });
    const { stderr, stdout } = await box.cli(['vm', 'create', 'box']);
    expect(stdout).toBe('box\n');
    expect(stderr).toContain('spec: 2 vcpu · 2048 MiB · 8G disk');
    expect(stderr).toContain('no KVM');
  });
  afterAll(() => box.dispose());

  it('is on record as it was asked for', async () => {
    const [vm] = await box.list();
    expect(vm).toMatchObject({
      name: 'box',
      state: 'running',
      image: 'debian-bookworm',
      vcpus: 2,
      memoryMib: 2048,
      diskBytes: 8 * 1024 ** 3,
      vmm: 'qemu',
    });
    expect(vm?.ip).toMatch(/^10\.\d+\.\d+\.\d+$/);
    expect(new Date(vm?.createdAt ?? '').getTime()).toBeGreaterThan(0);
    expect(await readlink(`/proc/${String(vm?.pid)}/exe`)).toContain('qemu-system-x86_64');
    expect(await box.ok(['vm', 'show', 'box'])).toContain('2 vcpu · 2048 MiB · 8G disk');
    expect(await box.ok(['vm', 'list', '-q'])).toBe(vm?.id);
  });

  it('is the only one that may talk to its daemon', async () => {
    expect((await stat(box.socketPath)).mode & 0o777).toBe(0o600);
    expect(await box.status()).toMatchObject({ vms: 1, vmsRunning: 1, socket: box.socketPath });
  });

  it('knows its name, and its own machine id', async () => {
    const vm = await box.show('box');
    expect(
      await box.guest('box', 'hostname; cat /etc/hostname; grep -c "127.0.1.1.*box" /etc/hosts'),
    ).toBe('box\nbox\n1');
    expect((await box.guest('box', 'cat /etc/machine-id')).trim()).toBe(vm.id.replaceAll('-', ''));
  });

  it('has what a developer expects', async () => {
    const tools = 'git curl sudo sshd tmux less vi bash';
    const found = await box.guest(
      'box',
      `for t in ${tools}; do command -v $t >/dev/null && echo $t; done`,
    );
    expect(found.trim().split('\n')).toEqual(tools.split(' '));
    expect(
      await box.guest('box', 'ls /etc/ssl/certs/ca-certificates.crt; lsmod | grep -c virtio'),
    ).toMatch(/ca-certificates.crt\n[1-9]/);
    expect(
      await box.guest(
        'box',
        'echo $HOME $USER; pwd; modprobe overlay && grep -c overlay /proc/filesystems',
      ),
    ).toBe('/root root\n/root\n1');
  });

  it('keeps stdout, stderr and the exit code apart', async () => {
    const outcome = await box.cli([
      'vm',
      'exec',
      'box',
      '--',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 7',
    ]);
    expect(outcome).toMatchObject({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    expect((await box.cli(['vm', 'exec', 'box', '--', 'sh', '-c', 'kill -9 $$'])).code).toBe(137);
    expect((await box.cli(['vm', 'exec', 'box', '--', 'no-such-command'])).code).toBe(127);
  });

  it('takes and gives megabytes unharmed', async () => {
    const data = randomBytes(3_000_000);
    const input = Buffer.from(data.toString('base64'));
    const { stdout } = await box.cli(['vm', 'exec', 'box', '--', 'cat'], { input });
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(
      createHash('sha256').update(input).digest('hex'),
    );
  });

  it('gives Ctrl-C to the command', async () => {
    const child = box.cliSpawn(['vm', 'exec', 'box', '--', 'sh', '-c', 'echo up; exec sleep 600']);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
    expect(await box.guest('box', 'pgrep -c "^sleep$" || true')).toBe('0');
  });

  it('takes a login by SSH against the known host key', async () => {
    const outcome = await box.cli(['vm', 'ssh', 'box', '--', 'cat /etc/hostname; exit 3']);
    expect(outcome.stdout).toBe('box\n');
    expect(outcome.code).toBe(3);
  });

  it('does nothing where there is nothing to do', async () => {
    const { pid } = await box.show('box');
    expect((await box.cli(['vm', 'start', 'box'])).code).toBe(0);
    expect((await box.show('box')).pid).toBe(pid);
  });

  it('refuses to be deleted while it runs', async () => {
    const outcome = await box.cli(['vm', 'delete', 'box']);
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toContain('--force');
    expect(await box.list()).toHaveLength(1);
  });

  it('keeps both disks over stop and start', async () => {
    await box.guest('box', 'echo work > /root/kept; echo root > /kept; mkdir -p /root/.ssh');
    const { pid } = await box.show('box');
    await box.ok(['vm', 'stop', 'box']);
    expect(existsSync(`/proc/${String(pid)}`)).toBe(false);
    expect((await box.list())[0]).toMatchObject({ state: 'stopped', pid: null, ip: null });
    expect((await box.cli(['vm', 'stop', 'box'])).code).toBe(0);
    await box.ok(['vm', 'start', 'box']);
    expect(await box.guest('box', 'cat /root/kept /kept')).toBe('work\nroot');
    // The guest was asked, and unmounted its disks.
    expect(await box.guest('box', 'dmesg | grep -ci "recovery complete\\|orphan" || true')).toBe(
      '0',
    );
  });

  it('ends at once when it is killed, and starts again', async () => {
    await box.guest('box', 'echo synced > /root/synced; sync');
    await box.ok(['vm', 'kill', 'box']);
    expect((await box.show('box')).state).toBe('stopped');
    await box.ok(['vm', 'restart', 'box']);
    expect(await box.guest('box', 'cat /root/synced')).toBe('synced');
  });

  it('is noticed when it ends by itself', async () => {
    await box.cli(['vm', 'exec', 'box', '--', 'sh', '-c', 'kill -TERM 1']);
    await pollUntil('the VM to be stopped', 60_000, async () =>
      (await box.show('box')).state === 'stopped' ? true : undefined,
    );
    expect((await box.show('box')).lastError).toBeNull();
  });

  it('leaves no trace of an ephemeral one', async () => {
    const outcome = await box.cli(
      ['vm', 'run', '--rm', '--name', 'once', '--', 'sh', '-c', 'cat; exit 5'],
      {
        input: 'from stdin\n',
      },
    );
    expect(outcome).toMatchObject({ code: 5, stdout: 'from stdin\n' });
    expect((await box.list()).map(({ name }) => name)).toEqual(['box']);
  });

  it('deletes an ephemeral one also when its client is killed', async () => {
    const child = box.cliSpawn([
      'vm',
      'run',
      '--rm',
      '--name',
      'gone',
      '--',
      'sh',
      '-c',
      'echo up; sleep 600',
    ]);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    const { pid } = await box.show('gone');
    child.kill('SIGKILL');
    await pollUntil('the VM to be deleted', 60_000, async () =>
      (await box.list()).some(({ name }) => name === 'gone') ? undefined : true,
    );
    expect(existsSync(`/proc/${String(pid)}`)).toBe(false);
  });

  it('boots with systemd where the image asks for it', async () => {
    await box.ok(['vm', 'create', 'sysd', '--image', 'debian-bookworm-systemd']);
    expect(await box.guest('sysd', 'cat /proc/1/comm; hostname')).toBe('systemd\nsysd');
    await box.ok(['vm', 'stop', 'sysd']);
    expect((await box.show('sysd')).lastError).toBeNull();
    await box.ok(['vm', 'delete', 'sysd']);
  });

  it('shows the log of its console', async () => {
    const { logs } = await box.show('box');
    expect(await readFile(logs['console'] ?? '', 'utf8')).toBeTypeOf('string');
    expect((await box.cli(['vm', 'logs', 'box'])).code).toBe(0);
  });
});
