import { chmod, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { VmDetails } from '../../core/api/contract/types.ts';
import { deadlineSignal } from '../../core/deadline.ts';
import { announcePort } from '../../core/vmm/machine-spec.ts';
import { needsCgroups } from '../support/reasons.ts';
import { describeUnless, firstOf, itUnless, needsRoot, needsTools } from '../support/skip.ts';
import { busyboxImage, makeBusyboxFolder } from './support/busybox-image.ts';
import { pollUntil } from './support/poll.ts';
import { residentKib, residentTreeKib } from './support/resident-memory.ts';
import { noPorts, noVsock, spareSocket, testVmm } from './support/vmm.ts';
import { createWorld, type World } from './support/world.ts';

/** banger's own failures, as docs/guest-states.md has them; a command's own code goes through. */
const failed = 125;

/** Of an error of banger's own. */
const codeOf = (stderr: string): string =>
  (JSON.parse(stderr) as { error: { code: string } }).error.code;

/** The agent's main process: PATH of its handlers' parent. */
const findAgent =
  'for p in /proc/[0-9]*; do [ "$(cat $p/cmdline 2>/dev/null | tr "\\0" " ")" = "/run/banger/agent agent " ] && ' +
  '[ "$(cut -d " " -f 4 $p/stat)" = 1 ] && echo ${p#/proc/}; done';

/** Writes to the first port for ever, once it has it. A shell starts `cat` only when it could open the port. */
const takePort = `
  port=/dev/$(grep -l "agent.0$" /sys/class/virtio-ports/*/name | cut -d / -f 5)
  until cat /dev/zero > $port; do :; done &
  until pidof cat; do kill -9 $(${findAgent}); sleep 1; done`;

describeUnless(
  firstOf(needsRoot(), needsTools('busybox', 'chroot')),
  'what a guest does to itself',
  () => {
    let folder: string;
    let world: World;
    let daemonPid: number;
    beforeAll(async () => {
      folder = await makeBusyboxFolder();
      const env = await busyboxImage(folder);
      world = await createWorld({ config: '[defaults]\nvcpus = 1\nmemory = "256M"\n', env });
      await world.ok(['vm', 'create', '--name', 'box']);
      daemonPid = (await world.status()).pid;
    });
    beforeEach(async () => {
      if ((await world.show('box')).state !== 'running') await world.ok(['vm', 'start', 'box']);
    });
    afterAll(async () => {
      // Whatever it did, the host is as it was: the same daemon, and dispose() finds nothing left.
      expect((await world.status()).pid).toBe(daemonPid);
      await world.dispose();
      await rm(folder, { recursive: true });
    });

    const stopped = (): Promise<VmDetails> =>
      pollUntil('the VM to be stopped', 60_000, async () => {
        const vm = await world.show('box');
        return vm.state === 'stopped' ? vm : undefined;
      });
    const run = (script: string) =>
      world.cli(['vm', 'exec', '--json', 'box', '--', 'sh', '-c', script]);
    /** The command may be told of, or be cut off by, what it does. */
    const end = async (script: string): Promise<VmDetails> => {
      const { code, stderr } = await run(script);
      if (code === failed) expect(codeOf(stderr)).toBe('GUEST_UNREACHABLE');
      return stopped();
    };

    itUnless(noVsock, 'its agent tells the host when it can be reached', async () => {
      const path = `${await spareSocket(world.stateDirectory)}_${String(announcePort)}`;
      const server = createServer().listen(path);
      try {
        await once(server, 'listening');
        // Firecracker may be another user.
        await chmod(path, 0o666);
        const word = once(server, 'connection', { signal: deadlineSignal(60_000) });
        // Its next one begins anew.
        await run(`kill -9 $(${findAgent})`);
        const [socket] = (await word) as [Socket];
        socket.destroy();
      } finally {
        server.close();
      }
      expect(await world.guest('box', 'echo there')).toBe('there');
    });

    it('its VMM has a cgroup of its own, and tells what it has counted', async () => {
      const { pid } = await world.show('box');
      const groups = await readFile(`/proc/${String(pid)}/cgroup`, 'utf8');
      if (needsCgroups() === undefined)
        expect(groups).toMatch(new RegExp(`^0::/banger-[a-z2-7]{6}/${testVmm}-[a-z2-7]{8}$`, 'm'));
      const { code, stdout, stderr } = await world.cli(['vm', 'logs', '--metrics', 'box']);
      if (testVmm === 'firecracker') {
        const [first = ''] = stdout.split('\n');
        expect(JSON.parse(first)).toMatchObject({ utc_timestamp_ms: expect.any(Number) as number });
      } else {
        expect(code).toBe(failed);
        expect(stderr).toMatch(/^banger: the VMM of VM 'box' writes no metrics\. Firecracker does/);
      }
    });

    it('memory that it has freed is the host’s again', async () => {
      const { pid } = await world.show('box');
      const used = (): Promise<number> => residentTreeKib(pid ?? 0);
      await run('mkdir -p /tmp/big && mount -t tmpfs -o size=120M tmpfs /tmp/big');
      await run('dd if=/dev/zero of=/tmp/big/file bs=1M count=100');
      const full = await used();
      await run('umount /tmp/big');
      // It reports every two seconds, in pieces of some megabytes (mm/page_reporting.c).
      await pollUntil('80 MiB to come back', 60_000, async () =>
        full - (await used()) > 80 * 1024 ? true : undefined,
      );
    });

    it('a reboot by itself stops the VM, with the reason', async () => {
      const vm = await end('reboot -f');
      expect(vm.lastError).toBeNull();
      expect(vm.conditions).toEqual([
        { kind: 'guest-ended', detail: 'the guest has rebooted, and a reboot ends a VM' },
      ]);
      expect(await world.ok(['vm', 'show', 'box'])).toContain('guest-ended');
      await world.ok(['vm', 'start', 'box']);
      expect((await world.show('box')).conditions).toEqual([]);
    });

    it('a power-off by itself stops the VM, with the reason', async () => {
      if (testVmm === 'firecracker') {
        // It has no power to switch off: the guest halts, and is ended like any that does not answer.
        const halting = run('poweroff -f');
        await pollUntil('the guest to halt', 30_000, async () =>
          /reboot: (Power down|System halted)/.test(await world.ok(['vm', 'logs', 'box']))
            ? true
            : undefined,
        );
        await world.ok(['vm', 'stop', 'box']);
        expect((await halting).code).toBe(failed);
        expect(await world.show('box')).toMatchObject({ state: 'stopped', lastError: null });
        return;
      }
      const vm = await end('poweroff -f');
      expect(vm.lastError).toBeNull();
      expect(vm.conditions).toEqual([
        { kind: 'guest-ended', detail: 'the guest has powered itself off' },
      ]);
    });

    it('a panic of its kernel stops the VM, with the kernel’s words', async () => {
      const vm = await end('echo c > /proc/sysrq-trigger');
      expect(vm.lastError).toMatchObject({
        code: 'GUEST_PANIC',
        message: "the guest's kernel panicked: sysrq triggered crash",
      });
      expect(vm.conditions).toEqual([]);
    });

    it('a killed agent is there again, and what ran is told of', { timeout: 60_000 }, async () => {
      const cut = world.cliSpawn([
        'vm',
        'exec',
        '--json',
        'box',
        '--',
        'sh',
        '-c',
        'echo up; exec sleep 600',
      ]);
      cut.stdin?.end();
      if (cut.stdout === null || cut.stderr === null) throw new Error('no pipes');
      const exited = once(cut, 'exit') as Promise<[number]>;
      const told = text(cut.stderr);
      await Promise.race([once(cut.stdout, 'data'), exited]);
      expect(cut.exitCode).toBeNull();
      const killer = await run(`kill -9 $(${findAgent})`);
      expect([0, failed]).toContain(killer.code);
      expect((await exited)[0]).toBe(failed);
      expect(codeOf(await told)).toBe('GUEST_UNREACHABLE');
      // The host connects again by itself; the VM has not noticed.
      await pollUntil('the agent to answer again', 30_000, async () =>
        (await run('true')).code === 0 ? true : undefined,
      );
      expect(await world.show('box')).toMatchObject({ state: 'running', conditions: [] });
      await run('killall sleep');
    });

    it('a full disk is its own, and it starts with one', async () => {
      const free = "df -k / | awk 'NR == 2 { print $4 }'";
      // Blocks that are taken and never written: the host's disk has no part in it.
      await run(`fallocate -l $(( $(${free}) * 1024 )) /fill; cat /dev/zero > /rest`);
      const write = await run('echo more > /etc/more');
      expect(write.code).toBe(1);
      expect(write.stderr).toContain('No space left on device');
      expect((await run('echo still here')).stdout).toBe('still here\n');
      await world.ok(['vm', 'stop', 'box']);
      await world.ok(['vm', 'start', 'box']);
      expect(await world.show('box')).toMatchObject({ state: 'running', lastError: null });
      expect((await run('rm /fill /rest; echo more > /etc/more && cat /etc/more')).stdout).toBe(
        'more\n',
      );
    });

    itUnless(noPorts, 'a flood of its agent’s channel is not read for long', async () => {
      const before = await residentKib(daemonPid);
      // Who opens the port in the moment in which no agent has it open keeps it.
      await run(`setsid sh -c '${takePort}' > /dev/null 2>&1 &`);
      let ran = 0;
      const told = new Set<string>();
      await pollUntil('eight commands in a row', 60_000, async () => {
        const { code, stderr } = await run('true');
        ran = code === 0 ? ran + 1 : 0;
        if (code !== 0) told.add(codeOf(stderr));
        const floods = ran >= 8 && (await run('pidof cat')).code === 0;
        return floods ? true : undefined;
      });
      for (const each of told) expect(['AGENT_PROTOCOL', 'GUEST_UNREACHABLE']).toContain(each);
      expect((await residentKib(daemonPid)) - before).toBeLessThan(64 * 1024);
      expect((await world.show('box')).state).toBe('running');
      await run('killall cat');
    });
  },
);
