import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PortsReport, StatsReport } from '../../capabilities/stats/contract.ts';
import type { VmHealth, VmListed } from '../../core/api/contract/types.ts';
import { pollUntil } from './support/poll.ts';
import { createWorld, smallVms, type World } from './support/world.ts';

const pollS = 2;
const polling = `${smallVms}[stats]\npoll_interval = "${String(pollS)}s"\n`;
const patienceS = 4;
const impatient = `${polling}[lifecycle]\nauto_stop_after = "${String(patienceS)}s"\n`;

/** Perl is in the image. It answers every request, one after the other. */
const server = `
use IO::Socket::INET;
my $all = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 8080, Listen => 5) or die;
my $inside = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8081, Listen => 5) or die;
while (my $client = $all->accept) {
  while (<$client>) { last if /^\\r?\\n$/ }
  print $client "HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\nConnection: close\\r\\n\\r\\nhello\\n";
  close $client;
}`;

/** A TCP server that never says a word. */
const silentServer = `
use IO::Socket::INET;
my $all = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 8082, Listen => 5) or die;
while (my $client = $all->accept) { push @clients, $client }`;

/** What core/vmm/process/native/bounded-output.c keeps of one file. */
const logBytes = 2 * 1024 ** 2;

describe('what one sees of a VM', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ config: polling });
    await world.ok(['vm', 'create', '--name', 'web']);
  });
  afterAll(() => world.dispose());

  const health = async (): Promise<{ code: number; report: VmHealth }> => {
    const { code, stdout } = await world.cli(['vm', 'health', 'web', '--json']);
    return { code, report: JSON.parse(stdout) as VmHealth };
  };
  const listed = async (): Promise<VmListed | undefined> =>
    (JSON.parse(await world.ok(['vm', 'list', '--json'])) as VmListed[]).find(
      ({ name }) => name === 'web',
    );
  const background = (script: string): Promise<string> =>
    world.ok(['vm', 'exec', 'web', '--', 'sh', '-c', `setsid ${script} > /dev/null 2>&1 &`]);

  it('is healthy, and says by what', async () => {
    const { code, report } = await health();
    expect(report).toMatchObject({
      name: 'web',
      state: 'running',
      healthy: true,
      agent: 'ok',
      problems: [],
      init: 'lean',
    });
    expect(code).toBe(0);
    expect(report.roundTripMs).toBeGreaterThan(0);
    expect(report.bootId).toBe(await world.guest('web', 'cat /proc/sys/kernel/random/boot_id'));
    expect(report.disks.map(({ mount }) => mount)).toEqual(['/', '/root']);
    expect(await world.ok(['vm', 'health', 'web'])).toContain('web is healthy');
  });

  it('is not healthy while it does not run: exit code 1', async () => {
    await world.ok(['vm', 'create', '--no-start', '--name', 'idle']);
    const told = await world.cli(['vm', 'health', 'idle', '--json']);
    expect(told.code).toBe(1);
    expect(JSON.parse(told.stdout)).toMatchObject({
      state: 'stopped',
      healthy: false,
      agent: 'none',
      problems: ['it is stopped'],
    });
    const quiet = await world.cli(['vm', 'health', '-q', 'idle']);
    expect(quiet).toMatchObject({ code: 1, stdout: '' });
    expect((await world.cli(['vm', 'stats', 'idle'])).stderr).toContain('vm start');
    await world.ok(['vm', 'delete', 'idle']);
  });

  it('tells which ports listen, whose they are, and which speak HTTP', async () => {
    await world.ok(['vm', 'exec', 'web', '--', 'sh', '-c', 'cat > /root/server.pl'], {
      input: server,
    });
    await world.ok(['vm', 'exec', 'web', '--', 'sh', '-c', 'cat > /root/silent.pl'], {
      input: silentServer,
    });
    await background('perl /root/server.pl');
    await background('perl /root/silent.pl');
    const report = await pollUntil('the servers and sshd', 60_000, async () => {
      const found = JSON.parse(await world.ok(['vm', 'ports', 'web', '--json'])) as PortsReport;
      const ports = found.ports.map(({ port }) => port);
      return [22, 8080, 8081, 8082].every((port) => ports.includes(port)) ? found : undefined;
    });
    const { ip } = await world.show('web');
    expect(report).toMatchObject({ name: 'web', ip, more: false });
    const on = (port: number) => report.ports.find((each) => each.port === port);
    expect(on(8080)).toMatchObject({
      protocol: 'tcp',
      process: 'perl',
      reachable: true,
      http: true,
      url: 'http://web.vm:8080',
      addressUrl: `http://${ip ?? ''}:8080`,
    });
    expect(await world.guest('web', `cat /proc/${String(on(8080)?.pid)}/comm`)).toBe('perl');
    expect(on(8081)).toMatchObject({ reachable: false, http: null, url: null });
    expect(on(8082)).toMatchObject({ reachable: true, http: false, url: null });
    expect(on(22)).toMatchObject({ process: 'sshd', reachable: true, http: null });

    const page = await fetch(on(8080)?.addressUrl ?? '');
    expect(await page.text()).toBe('hello\n');
    const plain = await world.ok(['vm', 'ports', 'web']);
    expect(plain).toMatch(/^8080\/tcp +perl \(\d+\) +\* +http:\/\/web\.vm:8080 +http:\/\/10\./m);
    expect(plain).not.toContain('\u001b');
    const linked = await world.ok(['vm', 'ports', 'web'], { env: { FORCE_HYPERLINK: '1' } });
    expect(linked).toContain('\u001b]8;;http://web.vm:8080\u001b\\http://web.vm:8080\u001b]8;;');
  });

  it('tells fresh figures, and keeps the last ones for list and show', async () => {
    const [now] = JSON.parse(
      await world.ok(['vm', 'stats', 'web', '--json']),
    ) as StatsReport['vms'];
    expect(now?.error).toBeNull();
    const kib = Number(await world.guest('web', "awk '/MemTotal/ { print $2 }' /proc/meminfo"));
    expect(now?.stats?.memoryTotalBytes).toBe(kib * 1024);
    expect(now?.stats?.host?.memoryBytes).toBeGreaterThan(20 * 1024 ** 2);
    const first = await pollUntil('figures in the list', 30_000, async () => {
      const stats = (await listed())?.stats;
      return stats?.cpuPercent === null ? undefined : (stats ?? undefined);
    });
    expect(first.filesystems.map(({ mount }) => mount)).toEqual(['/', '/root']);
    await pollUntil('newer figures', 30_000, async () =>
      Date.parse((await listed())?.stats?.at ?? '') > Date.parse(first.at) ? true : undefined,
    );
    expect(await world.ok(['vm', 'show', 'web'])).toMatch(/^figures: +cpu \d+% of 1 · memory /m);
    expect(await world.ok(['vm', 'list'])).toMatch(/^web +running .*\d+% +[\d.]+M\/512M /m);
    expect(await world.ok(['vm', 'stats'])).toMatch(/^web +\d+% of 1 /m);
  });

  it('is not healthy with a full disk, and answers all the same', async () => {
    // It fails when it has taken all there is: of the free blocks some are kept for the file system itself.
    await world.guest('web', 'fallocate -l 8G /root/full 2> /dev/null || true');
    const { code, report } = await health();
    expect(code).toBe(1);
    expect(report).toMatchObject({ healthy: false, agent: 'ok' });
    expect(report.problems).toEqual([expect.stringMatching(/^\/root is \d+ % full$/)]);
    await world.guest('web', 'rm /root/full');
    expect((await health()).code).toBe(0);
  });

  it('is watched until ^C', async () => {
    const child = world.cliSpawn(['vm', 'stats', '--watch']);
    let seen = '';
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    const closed = once(child, 'close');
    await pollUntil('two looks', 60_000, () =>
      (seen.match(/^web /gm) ?? []).length >= 2 ? true : undefined,
    );
    child.kill('SIGINT');
    expect(await closed).toEqual([130, null]);
  });

  it('has a console that is followed until ^C', async () => {
    const child = world.cliSpawn(['vm', 'logs', '-f', 'web']);
    let seen = '';
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    const closed = once(child, 'close');
    await world.guest('web', 'echo first word > /dev/ttyS0');
    await pollUntil('the first word', 30_000, () => /first word/.exec(seen) ?? undefined);
    await world.guest('web', 'echo second word > /dev/ttyS0');
    await pollUntil('the second word', 30_000, () => /second word/.exec(seen) ?? undefined);
    child.kill('SIGINT');
    expect(await closed).toEqual([130, null]);
  });

  it('has an agent whose log outlives it', async () => {
    expect(await world.ok(['vm', 'logs', '--agent', 'web'])).toMatch(/\] the agent starts$/m);
    // All of its processes, and with them this command's connection.
    const killed = await world.cli([
      ...['vm', 'exec', 'web', '--', 'sh', '-c'],
      'for p in /proc/[0-9]*; do [ "$(readlink $p/exe)" = /run/banger/agent ] && kill -9 ${p#/proc/}; done',
    ]);
    expect(killed.code).toBe(125);
    const log = await pollUntil('the agent’s return', 60_000, async () => {
      const { code, stdout } = await world.cli(['vm', 'logs', '--agent', 'web']);
      return code === 0 && stdout.includes('the agent starts again') ? stdout : undefined;
    });
    expect(log).toMatch(/\] the agent starts$/m);
    expect((await health()).report.healthy).toBe(true);
  });

  it('cannot fill the host’s disk by its console, daemon or no daemon', async () => {
    const path = (await world.show('web')).logs['console'] ?? '';
    await background(
      `sh -c 'yes "a guest that floods its console, line after line after line" | head -c 5000000; ` +
        `echo; echo the flood is over' > /dev/ttyS0 #`,
    );
    await world.killDaemon();
    await pollUntil(
      'the end of the flood',
      240_000,
      async () => ((await readFile(path, 'utf8')).includes('the flood is over') ? true : undefined),
      500,
    );
    const [now, before] = await Promise.all([stat(path), stat(`${path}.1`)]);
    expect(before.size).toBe(logBytes);
    expect(now.size).toBeLessThanOrEqual(logBytes);
    expect(now.blocks * 512).toBeLessThanOrEqual(logBytes + 4096);
  });

  it('is looked after again by the next daemon', async () => {
    expect((await health()).report.healthy).toBe(true);
    const stats = await pollUntil(
      'figures',
      60_000,
      async () => (await listed())?.stats ?? undefined,
    );
    expect(stats.memoryTotalBytes).toBeGreaterThan(0);
    expect(await world.ok(['vm', 'logs', '-n', '1', 'web'])).toContain('the flood is over');
    const whole = await world.ok(['vm', 'logs', 'web']);
    expect(whole.length).toBeGreaterThan(logBytes);
  });

  /** Returns when the daemon has looked at it for longer than it would leave an unused VM alone. */
  const lookedAtLong = async (): Promise<void> => {
    const from = Date.now();
    await pollUntil('looks at the VM', 120_000, async () => {
      const vm = await listed();
      if (vm?.state !== 'running') throw new Error(`it is ${vm?.state ?? 'gone'}`);
      const at = Date.parse(vm.stats?.at ?? '');
      return at - from > (patienceS + pollS) * 1000 ? true : undefined;
    });
  };

  describe('that is stopped when nobody uses it', () => {
    beforeAll(async () => {
      await world.writeConfig(impatient);
      await world.ok(['daemon', 'restart']);
    });

    it('is left alone while a command runs in it', async () => {
      const session = world.cliSpawn(['vm', 'exec', 'web', '--', 'sleep', '3600']);
      const closed = once(session, 'close');
      await lookedAtLong();
      session.kill('SIGKILL');
      await closed;
      expect((await listed())?.state).toBe('running');
    });

    it('is left alone while somebody is connected to it', async () => {
      const { ip } = await world.show('web');
      const socket = connect(8082, ip ?? '');
      await once(socket, 'connect');
      await lookedAtLong();
      socket.destroy();
      expect((await listed())?.state).toBe('running');
    });

    it('is left alone while it works', async () => {
      await background(`perl -e 'open F, ">/run/busy"; print F $$; close F; 1 while 1'`);
      await lookedAtLong();
      expect((await listed())?.state).toBe('running');
      await world.guest('web', 'kill $(cat /run/busy)');
    });

    it('is stopped then, and says why until it starts again', async () => {
      // Whoever looks does not use it.
      await pollUntil('the end of it', 120_000, async () => {
        await world.cli(['vm', 'stats', 'web']);
        return (await health()).report.state === 'stopped' ? true : undefined;
      });
      const why = { kind: 'auto-stopped', detail: `nobody has used it for ${String(patienceS)} s` };
      await pollUntil('the reason', 10_000, async () =>
        (await world.show('web')).conditions.some(({ kind }) => kind === why.kind)
          ? true
          : undefined,
      );
      expect(await world.show('web')).toMatchObject({
        state: 'stopped',
        conditions: [why],
        lastError: null,
        stats: null,
      });
      expect(await world.ok(['vm', 'list'])).toMatch(/^web +stopped,auto-stopped /m);
      // In order, as by `vm stop`.
      expect(await world.ok(['vm', 'logs', '-n', '20', 'web'])).not.toContain('panic');
      await world.writeConfig(polling);
      await world.ok(['daemon', 'restart']);
      await world.ok(['vm', 'start', 'web']);
      expect((await world.show('web')).conditions).toEqual([]);
      expect(await world.guest('web', 'ls /root/server.pl')).toBe('/root/server.pl');
    });
  });
});
