import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from '../../capabilities/vsock-agent/agent.ts';
import { ConnectionPool } from '../../capabilities/vsock-agent/pool.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../support/skip.ts';
import { busyboxImage, makeBusyboxFolder } from './support/busybox-image.ts';
import { spareStream } from './support/vmm.ts';
import { createWorld, type World } from './support/world.ts';

describeUnless(
  firstOf(needsRoot(), needsTools('busybox', 'chroot')),
  'a guest of busybox alone',
  () => {
    let folder: string;
    let world: World;
    beforeAll(async () => {
      folder = await makeBusyboxFolder();
      const env = await busyboxImage(folder);
      world = await createWorld({ config: '[defaults]\nvcpus = 1\nmemory = "256M"\n', env });
      await world.ok(['vm', 'create', '--name', 'box']);
    });
    afterAll(async () => {
      await world.dispose();
      await rm(folder, { recursive: true });
    });

    it('has no bash, no systemd and no SSH server, and its agent answers', async () => {
      const none = 'for t in bash systemctl sshd dropbear; do command -v $t; done; true';
      expect(await world.guest('box', none)).toBe('');
      expect(await world.guest('box', 'cat /proc/1/comm; hostname; readlink /bin/sh')).toBe(
        'banger-init\nbox\n/bin/busybox',
      );
      expect((await world.show('box')).state).toBe('running');
    });

    const exec = (script: string, ...options: string[]) =>
      world.cli(['vm', 'exec', ...options, 'box', '--', 'sh', '-c', script]);

    it('runs commands: streams apart, codes, signals, variables, folder and input', async () => {
      expect(await exec('echo out; echo err >&2; exit 7')).toMatchObject({
        code: 7,
        stdout: 'out\n',
        stderr: 'err\n',
      });
      expect((await exec('kill -TERM $$')).code).toBe(128 + 15);
      expect((await exec('echo "$A $HOME"; pwd', '-e', 'A=b c', '-w', '/tmp')).stdout).toBe(
        'b c /root\n/tmp\n',
      );
      const input = { input: 'to the guest' };
      const cat = await world.cli(['vm', 'exec', 'box', '--', 'cat'], input);
      expect(cat.stdout).toBe('to the guest');
      expect((await world.cli(['vm', 'exec', 'box', '--', 'no-such'])).code).toBe(127);
    });

    it('runs them as another user', async () => {
      const who = 'echo $USER; id -G; echo $HOME; pwd; touch /root/x 2>/dev/null || echo refused';
      expect((await exec(who, '--user', 'dev')).stdout).toBe(
        'dev\n1000 10\n/home/dev\n/home/dev\nrefused\n',
      );
      expect((await exec('id -u; id -g', '-u', '1000:10')).stdout).toBe('1000\n10\n');
      const nobody = await exec('true', '-u', 'nobody');
      expect(nobody.code).toBe(125);
      expect(nobody.stderr).toContain('no such user: nobody');
    });

    it('gives them a terminal', async () => {
      const tty = await exec('tty; stty size', '-t');
      expect(tty.stdout).toMatch(/^\/dev\/pts\/\d+\r\n24 80\r\n$/);
    });

    it('says that it has no SSH server, and what to do', async () => {
      const ssh = await world.cli(['vm', 'ssh', 'box', '--', 'true']);
      expect(ssh.code).toBe(125);
      expect(ssh.stderr).toContain("there is no SSH server in VM 'box'");
      expect(ssh.stderr).toContain('banger vm exec box');
      expect((await world.show('box')).state).toBe('running');
    });

    it('has a network', async () => {
      const { ip } = await world.show('box');
      expect(await world.guest('box', 'ip -4 addr show dev eth0; cat /etc/resolv.conf')).toContain(
        `${ip ?? 'none'}/`,
      );
    });

    it('becomes another one, as after a restore', async () => {
      const agent = new Agent(new ConnectionPool([await spareStream(world.stateDirectory)]));
      const { ip } = await world.show('box');
      const gateway = await world.guest('box', 'ip route | awk \'$1 == "default" { print $3 }\'');
      const machineId = '0123456789abcdef'.repeat(2);
      try {
        await agent.identify({
          clockMs: Date.UTC(2031, 1, 2, 3, 4, 5),
          hostname: 'twin',
          machineId,
          address: `${ip ?? ''}/24`,
          gateway,
          entropy: randomBytes(64),
        });
        await expect(agent.identify({ hostname: 'not a name' })).rejects.toMatchObject({
          code: 'AGENT_REFUSED',
        });
      } finally {
        agent.close();
      }
      const now = 'hostname; cat /etc/hostname /etc/machine-id; date -u +%F; grep twin /etc/hosts';
      expect(await world.guest('box', now)).toBe(
        `twin\ntwin\n${machineId}\n2031-02-02\n127.0.1.1 twin`,
      );
      expect(await world.guest('box', 'ip route')).toContain(`default via ${gateway}`);
      await world.guest('box', `ping -c 1 -W 5 ${gateway}`);
    });

    it('shuts down in order, and starts again with what it has kept', async () => {
      await world.guest('box', 'echo kept > /root/note; echo root > /etc/note');
      await world.ok(['vm', 'stop', 'box']);
      expect(await world.show('box')).toMatchObject({ state: 'stopped', lastError: null });
      await world.ok(['vm', 'start', 'box']);
      expect(await world.guest('box', 'cat /root/note /etc/note; hostname')).toBe(
        'kept\nroot\nbox',
      );
      // Neither file system was left dirty.
      expect(await world.guest('box', 'dmesg | grep -c "recovery complete" || true')).toBe('0');
    });
  },
);
