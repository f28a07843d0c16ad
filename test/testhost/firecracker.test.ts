import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { openExecutor } from '../../scripts/lib/executor.ts';
import { folderToDisk } from '../../scripts/testhost.d/folder-disk.ts';
import { bootTestHost, type TestHost } from '../../scripts/testhost.d/host.ts';
import { pollUntil } from '../e2e/support/poll.ts';
import { jailerReason } from '../e2e/support/vmm.ts';
import { describeUnless, itUnless } from '../support/skip.ts';
import { innerBanger, type InnerBanger } from './support/inner.ts';
import { stage } from './support/stage.ts';

/** A real one: of a release, or built by hand. */
const binary = process.env['BANGER_TEST_FIRECRACKER'];
const mountPoint = '/srv/firecracker';
const config = `[defaults]
vcpus = 1
memory = "256M"
disk_size = "1G"
[firecracker]
binary = "${mountPoint}/firecracker"
`;

/** The jailer of the same release, which lies beside it. */
const jailer = join(dirname(binary ?? ''), 'jailer');
const noJailer = binary === undefined ? undefined : await jailerReason(binary, jailer);
const jailed = `jailer = true
jailer_binary = "${mountPoint}/jailer"
`;

describeUnless(
  binary === undefined
    ? 'BANGER_TEST_FIRECRACKER names no firecracker, see docs/testing.md'
    : undefined,
  'guests of a real Firecracker on KVM',
  () => {
    let folder: string;
    let host: TestHost;
    let banger: InnerBanger;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'bgt-'));
      const disk = join(folder, 'firecracker.raw');
      await mkdir(join(folder, 'firecracker'));
      await copyFile(binary ?? '', join(folder, 'firecracker', 'firecracker'));
      if (noJailer === undefined) await copyFile(jailer, join(folder, 'firecracker', 'jailer'));
      await using exec = await openExecutor();
      const { signal } = new AbortController();
      await folderToDisk(join(folder, 'firecracker'), disk, { exec, signal, journal: false });
      host = await bootTestHost({
        disks: [
          { path: inject('stageDisk'), mountPoint: stage.mountPoint },
          { path: disk, mountPoint },
        ],
      });
      banger = await innerBanger(host, '/srv/stage/f', config);
    });
    afterAll(async () => {
      await host.dispose();
      await rm(folder, { recursive: true });
    });

    const expectUnprivileged = async (pid: number): Promise<void> => {
      const status = await host.ok(['cat', `/proc/${String(pid)}/status`]);
      const uid = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$/m.exec(status)?.slice(1) ?? [];
      expect(new Set(uid).size).toBe(1);
      expect(Number(uid[0])).toBeGreaterThanOrEqual(2_100_000_000);
      expect(status).toMatch(/^CapPrm:\s+0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(status).toMatch(/^Seccomp:\s+2$/m);
    };
    const endedPid = async (): Promise<number> => (await banger.show('box')).pid ?? 0;
    const stopped = () =>
      pollUntil('the end of the VM', 60_000, async () =>
        (await banger.show('box')).state === 'stopped' ? true : undefined,
      );

    it('are what `vm run` starts by itself, and nothing of them is left', async () => {
      expect(await banger.ok(['doctor'])).toMatch(/firecracker: Firecracker \(version \d/);
      const ran = await banger.cli([
        'vm',
        'run',
        '--rm',
        '--',
        'sh',
        '-c',
        'echo out; echo err >&2; exit 7',
      ]);
      expect(ran).toMatchObject({ code: 7, stdout: 'out\n' });
      expect(await banger.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
      expect(await host.ok(['ls', `${banger.stateDirectory}/firecracker`])).toBe('');
    });

    it('have their disks, their network and their console', async () => {
      await banger.ok(['vm', 'create', '--name', 'box']);
      const { vmm, ip, logs } = await banger.show('box');
      expect(vmm).toBe('firecracker');
      expect(await banger.guest('box', 'ip -4 -br address show dev eth0')).toContain(
        `${ip ?? '-'}/`,
      );
      expect(await banger.guest('box', 'findmnt -n -o SOURCE /; findmnt -n -o SOURCE /root')).toBe(
        '/dev/vda\n/dev/vdb',
      );
      expect(
        await banger.guest('box', `ping -c 1 -W 10 ${(ip ?? '').replace(/\d+$/, '1')}`),
      ).toContain('1 received');
      await banger.guest('box', 'echo from the guest > /dev/console');
      const console = logs['console'] ?? '';
      await pollUntil('what the guest wrote to its console', 20_000, async () =>
        (await host.ok(['cat', console])).includes('from the guest') ? true : undefined,
      );
    });

    it('have a cgroup of their own, and count what they do', async () => {
      const pid = await endedPid();
      const [cgroup = ''] = (await host.ok(['cat', `/proc/${String(pid)}/cgroup`])).split('\n');
      expect(cgroup).toMatch(/^0::\/banger-[a-z2-7]{6}\/firecracker-[a-z2-7]{8}$/);
      const [first = ''] = (await banger.ok(['vm', 'logs', '--metrics', 'box'])).split('\n');
      expect(JSON.parse(first)).toMatchObject({ utc_timestamp_ms: expect.any(Number) as number });
    });

    it('run as a user of their own, who may do nothing else', async () => {
      await expectUnprivileged(await endedPid());
    });

    it('give back memory that they have freed', async () => {
      const pid = await endedPid();
      const usedKib = async (): Promise<number> =>
        Number(
          (await host.ok(['grep', 'VmRSS', `/proc/${String(pid)}/status`])).replaceAll(/\D/g, ''),
        );
      await banger.guest('box', 'mkdir /run/big && mount -t tmpfs -o size=100M tmpfs /run/big');
      await banger.guest('box', 'dd if=/dev/zero of=/run/big/file bs=1M count=80');
      const full = await usedKib();
      await banger.guest('box', 'umount /run/big');
      await pollUntil('60 MiB to come back', 120_000, async () =>
        full - (await usedKib()) > 60 * 1024 ? true : undefined,
      );
    });

    it('stand still, and go on with the right time', async () => {
      await banger.ok(['vm', 'pause', 'box']);
      expect((await banger.show('box')).state).toBe('paused');
      await host.ok(['date', '-s', '+1 hour']);
      await banger.ok(['vm', 'resume', 'box']);
      const late = Math.abs(
        Number(await banger.guest('box', 'date +%s')) - Number(await host.ok(['date', '+%s'])),
      );
      // A command takes seconds in there.
      expect(late).toBeLessThan(60);
    });

    it('are adopted by the next daemon', async () => {
      const pid = await endedPid();
      const status = JSON.parse(await banger.ok(['daemon', 'status', '--json'])) as { pid: number };
      await host.ok(['kill', '-KILL', String(status.pid)]);
      expect(await banger.guest('box', 'echo kept > /root/kept; sync; cat /root/kept')).toBe(
        'kept',
      );
      expect(await banger.show('box')).toMatchObject({ state: 'running', pid, conditions: [] });
    });

    it('get a larger disk while they run', async () => {
      await banger.ok(['vm', 'set', 'box', '--disk-size', '3G']);
      const mib = Number(await banger.guest('box', 'df -BM --output=size /root | tr -dc 0-9'));
      expect(mib).toBeGreaterThan(2500);
      expect(await banger.guest('box', 'cat /root/kept')).toBe('kept');
    });

    it('keep what was written when they stop in order, and when they are killed', async () => {
      await banger.ok(['vm', 'stop', 'box']);
      expect((await banger.show('box')).lastError).toBeNull();
      await banger.ok(['vm', 'start', 'box']);
      expect(await banger.guest('box', 'cat /root/kept; echo synced > /root/kept; sync')).toBe(
        'kept',
      );
      await banger.ok(['vm', 'kill', 'box']);
      await banger.ok(['vm', 'start', 'box']);
      expect(await banger.guest('box', 'cat /root/kept')).toBe('synced');
    });

    it('are known to have ended when their process is killed, or they reboot', async () => {
      await host.ok(['kill', '-KILL', String(await endedPid())]);
      await stopped();
      expect((await banger.show('box')).lastError?.message).toContain('SIGKILL');
      await banger.ok(['vm', 'start', 'box']);
      await banger.cli(['vm', 'exec', 'box', '--', 'sh', '-c', 'kill -INT 1']);
      await stopped();
      expect((await banger.show('box')).lastError).toBeNull();
    });

    it('are said to answer nothing when they have halted, and stop all the same', async () => {
      await banger.ok(['vm', 'start', 'box']);
      // reboot(2), LINUX_REBOOT_CMD_POWER_OFF: the image has no program that asks for it.
      const halt = 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc, 0)';
      const halting = banger.cli(['vm', 'exec', 'box', '--', 'perl', '-e', halt]);
      await pollUntil('the guest to halt', 60_000, async () =>
        (await banger.ok(['vm', 'logs', 'box'])).includes('System halted') ? true : undefined,
      );
      const { code, stderr } = await banger.cli(['vm', 'exec', 'box', '--', 'true']);
      expect(code).toBe(125);
      expect(stderr).toMatch(/no answer from the guest in 60000 ms|accepts no stream in 60000 ms/);
      await banger.ok(['vm', 'stop', 'box']);
      await halting;
      await banger.ok(['vm', 'delete', 'box']);
      expect(await banger.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
      await banger.ok(['daemon', 'stop']);
    });

    itUnless(noJailer, 'run in a jail, which has no more than what is theirs', async () => {
      banger = await innerBanger(host, '/srv/stage/j', config + jailed);
      await banger.ok(['vm', 'create', '--name', 'box']);
      const pid = await endedPid();
      await expectUnprivileged(pid);
      const root = (await host.ok(['ls', `/proc/${String(pid)}/root`])).split('\n');
      expect(root).toEqual(expect.arrayContaining(['dev', 'drive-root', 'drive-work', 'kernel']));
      expect(root).not.toContain('etc');
      const [cgroup = ''] = (await host.ok(['cat', `/proc/${String(pid)}/cgroup`])).split('\n');
      expect(cgroup).toMatch(/^0::\/banger-[a-z2-7]{6}\/firecracker-[a-z2-7]{8}$/);
      const { ip, logs } = await banger.show('box');
      expect(
        await banger.guest('box', `ping -c 1 -W 10 ${(ip ?? '').replace(/\d+$/, '1')}`),
      ).toContain('1 received');
      await banger.guest('box', 'echo from the guest > /dev/console');
      await pollUntil('what the guest wrote to its console', 20_000, async () =>
        (await host.ok(['cat', logs['console'] ?? ''])).includes('from the guest')
          ? true
          : undefined,
      );
      const [first = ''] = (await banger.ok(['vm', 'logs', '--metrics', 'box'])).split('\n');
      expect(JSON.parse(first)).toMatchObject({ utc_timestamp_ms: expect.any(Number) as number });
    });

    itUnless(noJailer, 'are as good in there: adopted, grown, stopped and killed', async () => {
      const pid = await endedPid();
      const status = JSON.parse(await banger.ok(['daemon', 'status', '--json'])) as { pid: number };
      await host.ok(['kill', '-KILL', String(status.pid)]);
      expect(await banger.guest('box', 'echo adopted')).toBe('adopted');
      expect(await banger.show('box')).toMatchObject({ state: 'running', pid, conditions: [] });
      await banger.ok(['vm', 'pause', 'box']);
      await banger.ok(['vm', 'resume', 'box']);
      await banger.ok(['vm', 'set', 'box', '--disk-size', '3G']);
      const mib = Number(
        await banger.guest('box', 'df -BM --output=size /root | tail -n 1 | tr -dc 0-9'),
      );
      expect(mib).toBeGreaterThan(2500);
      await banger.guest('box', 'echo kept > /root/kept');
      await banger.ok(['vm', 'stop', 'box']);
      expect((await banger.show('box')).lastError).toBeNull();
      await banger.ok(['vm', 'start', 'box']);
      expect(await banger.guest('box', 'cat /root/kept')).toBe('kept');
      await banger.ok(['vm', 'kill', 'box']);
      expect(await banger.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
      const left = await host.ok([
        'find',
        `${banger.stateDirectory}/firecracker`,
        '-name',
        'run-*',
      ]);
      expect(left).toBe('');
      await banger.ok(['vm', 'delete', 'box']);
      await banger.ok(['daemon', 'stop']);
    });
  },
);
