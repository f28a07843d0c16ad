import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SshTarget } from '../../capabilities/ssh/contract.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../support/skip.ts';
import { privateNetwork, type PrivateNetwork } from './support/private-network.ts';
import { runProgram, type Outcome, type RunOptions } from './support/run-program.ts';
import { createWorld, type World } from './support/world.ts';

const reason = firstOf(needsRoot(), needsTools('ip', 'iptables', 'ssh', 'ssh-keygen', 'sysctl'));

describeUnless(reason, 'guests on a network', () => {
  let net: PrivateNetwork;
  let world: World;
  let before: string;

  /** `banger ARGS…` on the host of the private network: a daemon that it starts is there too. */
  const cli = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> => {
    const [program = '', ...enter] = net.enter;
    const banger = join(world.product, 'bin', 'banger');
    return runProgram(program, [...enter, banger, ...args], {
      ...options,
      env: { ...world.env, ...options.env },
    });
  };
  const ok = async (...args: string[]): Promise<string> => {
    const outcome = await cli(args);
    expect(outcome, args.join(' ')).toMatchObject({ code: 0 });
    return outcome.stdout.trim();
  };
  const addressOf = async (vm: string): Promise<string> => (await world.show(vm)).ip ?? '';
  /** What the server beyond the uplink says of who asks, or what curl says. */
  const askOutside = (vm: string): Promise<string> =>
    world.guest(vm, `curl -sS --max-time 8 http://${net.outsideAddress}/ 2>&1 || true`);

  beforeAll(async () => {
    net = await privateNetwork();
    before = await net.residue();
    world = await createWorld();
    await ok('vm', 'create', 'one');
    await ok('vm', 'create', 'two');
  });
  afterAll(async () => {
    try {
      await world.dispose();
    } finally {
      await net[Symbol.asyncDispose]();
    }
  });

  it('have an address, a default route and the host’s resolver', async () => {
    const address = await addressOf('one');
    const gateway = address.replace(/\d+$/, '1');
    expect(await world.guest('one', 'ip -4 -br address show dev eth0')).toContain(`${address}/24`);
    expect(await world.guest('one', 'ip route show default')).toContain(
      `default via ${gateway} dev eth0`,
    );
    expect(await world.guest('one', 'cat /etc/resolv.conf')).toContain(
      `nameserver ${net.resolver}`,
    );
    expect(await net.onHost('ip', '-br', 'address')).toContain(`${gateway}/24`);
  });

  it('reach the outside, which sees the host', async () => {
    expect(await askOutside('one')).toBe(net.hostAddress);
    expect(await askOutside('two')).toBe(net.hostAddress);
  });

  it('lose the way out and get it back while they run', async () => {
    await ok('vm', 'set', 'one', '--nat', 'off');
    expect(await askOutside('one')).not.toBe(net.hostAddress);
    expect(await askOutside('two')).toBe(net.hostAddress);
    expect(await world.ok(['vm', 'show', 'one'])).toContain('no nat');
    await ok('vm', 'set', 'one', '--nat', 'on');
    expect(await askOutside('one')).toBe(net.hostAddress);
  });

  it('are not reached from outside', async () => {
    const address = await addressOf('one');
    await net.onOutside('ip', 'route', 'add', `${address}/32`, 'via', net.hostAddress);
    const script = `exec 3<>/dev/tcp/${address}/22 && head -c 4 <&3`;
    await expect(net.onOutside('timeout', '3', 'bash', '-c', script)).rejects.toThrow();
    expect(await net.onHost('timeout', '20', 'bash', '-c', script)).toBe('SSH-');
  });

  it('see each other', async () => {
    const script = `exec 3<>/dev/tcp/${await addressOf('two')}/22 && head -c 4 <&3`;
    expect(await world.guest('one', `timeout 20 bash -c '${script}'`)).toBe('SSH-');
  });

  it('are logged into by SSH, and pass the exit code through', async () => {
    expect(await cli(['vm', 'ssh', 'one', '--', 'true'])).toMatchObject({ code: 0, stderr: '' });
    expect(await cli(['vm', 'ssh', 'one', '--', 'cat', '/etc/hostname'])).toMatchObject({
      code: 0,
      stdout: 'one\n',
      stderr: '',
    });
    expect(await cli(['vm', 'ssh', 'two', '--', 'echo err >&2; exit 42'])).toMatchObject({
      code: 42,
      stdout: '',
      stderr: 'err\n',
    });
  });

  it('take standard input by SSH', async () => {
    const input = 'line\n'.repeat(20_000);
    const { stdout } = await cli(['vm', 'ssh', 'one', '--', 'wc -c'], { input });
    expect(stdout.trim()).toBe(String(input.length));
  });

  it('are not forgotten after a shell: a line says that the VM goes on', async () => {
    const input = 'cat /etc/hostname\nexit 5\n';
    const said = await cli(['vm', 'ssh', 'one'], { input });
    expect(said.code).toBe(5);
    // Below the greeting that a login has.
    expect(said.stdout).toMatch(/(^|\n)one\n$/);
    const reminder = "VM 'one' is still running; stop it with: banger vm stop one\n";
    expect(said.stderr).toContain(reminder);
    const quiet = await cli(['vm', 'ssh', '-q', 'one'], { input });
    expect(quiet.code).toBe(5);
    expect(quiet.stderr).not.toContain('still running');
  });

  it('keep anyone else from answering in their place', async () => {
    const { status, body } = await world.api('POST', '/v1/x/ssh/connect', { vm: 'one' });
    expect(status).toBe(200);
    const target = body as SshTarget;
    expect(target).toMatchObject({ host: await addressOf('one'), user: 'root', port: 22 });
    for (const file of [target.identityFile, target.knownHostsFile])
      expect((await stat(file)).mode & 0o022).toBe(0);
    const ssh = (host: string): Promise<Outcome> => {
      const [program = '', ...enter] = net.enter;
      const options = target.options.flatMap((option) => ['-o', option]);
      return runProgram(program, [...enter, 'ssh', ...options, `root@${host}`, 'hostname'], {
        env: world.env,
      });
    };
    expect(await ssh(target.host)).toMatchObject({ code: 0, stdout: 'one\n' });
    // The other VM's key under the first one's name.
    const other = await ssh(await addressOf('two'));
    expect(other.code).toBe(255);
    expect(other.stderr).toContain('Host key verification failed');
  });

  it('keep their address and their host key over stop and start', async () => {
    const address = await addressOf('two');
    await ok('vm', 'restart', 'two');
    expect(await addressOf('two')).toBe(address);
    expect(await cli(['vm', 'ssh', 'two', '--', 'hostname'])).toMatchObject({ stdout: 'two\n' });
  });

  it('stay connected while the daemon is another one', async () => {
    const { pid } = await world.status();
    await ok('daemon', 'restart');
    expect((await world.status()).pid).not.toBe(pid);
    expect(await askOutside('one')).toBe(net.hostAddress);
    expect(await cli(['vm', 'ssh', 'one', '--', 'hostname'])).toMatchObject({ stdout: 'one\n' });
  });

  it('get back what a firewall’s reload took away, with the daemon’s next start', async () => {
    await net.onHost('iptables', '-F', 'FORWARD');
    await net.onHost('iptables', '-t', 'nat', '-F');
    await ok('daemon', 'restart');
    expect(await askOutside('one')).toBe(net.hostAddress);
  });

  it('without a network are reached by exec alone', async () => {
    await ok('vm', 'stop', 'one');
    const stopped = await cli(['vm', 'ssh', 'one', '--', 'true']);
    expect(stopped.code).toBe(125);
    expect(stopped.stderr).toContain("VM 'one' is stopped. Start it with");
  });

  it('leave the host as it was', async () => {
    await ok('vm', 'delete', '--force', 'one', 'two');
    await ok('daemon', 'stop');
    expect(await net.residue()).toBe(before);
  });
});
