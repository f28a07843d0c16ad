import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PortsReport, StatsReport } from '../../../capabilities/stats/contract.ts';
import { hyperlink, takesHyperlinks } from '../../../cli/render/hyperlink.ts';
import type { VmHealth, VmStats } from '../../../core/api/contract/types.ts';
import { finished, Harness, until } from './support/harness.ts';

let harness: Harness;
beforeAll(async () => {
  harness = new Harness();
  await harness.prepare();
});
beforeEach(() => harness.serve());
afterEach(() => {
  harness.daemon.close();
});
afterAll(() => {
  harness.cleanUp();
});

const stats: VmStats = {
  at: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 75,
  vcpus: 2,
  cpuPercent: 12.4,
  load: [0.1, 0.25, 1],
  memoryTotalBytes: 2 * 1024 ** 3,
  memoryUsedBytes: 512 * 1024 ** 2,
  swapUsedBytes: 0,
  processes: 60,
  connections: 3,
  filesystems: [{ mount: '/', sizeBytes: 8 * 1024 ** 3, usedBytes: 1024 ** 3, availableBytes: 1 }],
  host: { memoryBytes: 600 * 1024 ** 2, cpuPercent: 31 },
};

const now = (...vms: StatsReport['vms']): void => {
  harness.daemon.actions.set('stats now', () => ({ vms }));
};

describe('figures', () => {
  it('are in the list and in show, where they are known', async () => {
    harness.daemon.addVm('box', { stats });
    expect((await harness.run(['vm', 'list'])).stdout).toMatch(
      /^box +running .* 2 +12% +512M\/2G /m,
    );
    expect((await harness.run(['vm', 'show', 'box'])).stdout).toContain(
      'cpu 12% of 2 · memory 512M/2G · load 0.1 0.25 1 · / 1G/8G · 3 connections\n',
    );
  });

  it('of one VM, or of all, as a table or JSON', async () => {
    now({ name: 'box', stats, error: null });
    const table = await harness.run(['vm', 'stats', 'box']);
    expect(table).toMatchObject({ code: 0, stderr: '' });
    expect(table.stdout).toMatch(
      /^box +12% of 2 +0\.10 0\.25 1\.00 +512M\/2G +\/ 1G\/8G +60 +3 +1m +31% +600M$/m,
    );
    expect(harness.daemon.bodies.at(-1)).toEqual({ vm: 'box' });
    const json = await harness.run(['vm', 'stats', '--json']);
    expect(harness.daemon.bodies.at(-1)).toEqual({});
    expect(JSON.parse(json.stdout)).toEqual([{ name: 'box', stats, error: null }]);
    now();
    expect(await harness.run(['vm', 'stats'])).toMatchObject({
      stdout: '',
      stderr: 'No VM runs.\n',
    });
  });

  it('that were asked for by name and are not known are a failure', async () => {
    now({ name: 'box', stats: null, error: 'no answer\u001b[2J' });
    const { code, stdout } = await harness.run(['vm', 'stats', 'box']);
    expect(code).toBe(1);
    expect(stdout).toContain('no answer [2J');
    expect((await harness.run(['vm', 'stats'])).code).toBe(0);
  });
});

describe('health', () => {
  const told: VmHealth = {
    name: 'box',
    state: 'running',
    healthy: true,
    agent: 'ok',
    roundTripMs: 1.5,
    agentVersion: '0.1.0',
    bootId: 'boot',
    init: 'lean',
    uptimeSeconds: 5,
    disks: [],
    problems: [],
    conditions: [],
  };

  it('exits 0 where all is well, and says so', async () => {
    harness.daemon.addVm('box');
    harness.daemon.actions.set('health', () => told);
    const well = await harness.run(['vm', 'health', 'box']);
    expect(well).toMatchObject({ code: 0, stderr: '' });
    expect(well.stdout).toMatch(/^box is healthy\n/);
    expect(well.stdout).toContain('ok (1.5 ms)');
  });

  it('exits 1 where it is not, with every problem', async () => {
    harness.daemon.addVm('box');
    const problems = ['/ is 97 % full', 'unprovisioned: a step failed\u0007'];
    harness.daemon.actions.set('health', () => ({ ...told, healthy: false, problems }));
    const ill = await harness.run(['vm', 'health', 'box']);
    expect(ill.code).toBe(1);
    expect(ill.stdout).toMatch(
      /^problem: +\/ is 97 % full\nproblem: +unprovisioned: a step failed$/m,
    );
    expect(await harness.run(['vm', 'health', '-q', 'box'])).toMatchObject({ code: 1, stdout: '' });
    const json = await harness.run(['vm', 'health', '--json', 'box']);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({ healthy: false, problems });
  });
});

describe('ports', () => {
  const port = {
    protocol: 'tcp' as const,
    addresses: ['0.0.0.0', '::'],
    port: 80,
    pid: 7,
    process: 'web',
    reachable: true,
    http: true,
    url: 'http://box.vm:80',
    addressUrl: 'http://10.0.0.2:80',
  };
  const none = { http: null, url: null, addressUrl: null };
  const report: PortsReport = {
    name: 'box',
    ip: '10.0.0.2',
    ports: [
      port,
      { ...port, port: 8080, url: 'http://box.vm:8080', addressUrl: 'http://10.0.0.2:8080' },
      { ...port, ...none, port: 53, protocol: 'udp', addresses: ['127.0.0.1'], reachable: false },
      { ...port, ...none, port: 5432, pid: null, process: '', addresses: ['10.0.0.2'] },
    ],
    more: true,
  };

  it('are told with process and address, and where HTTP is', async () => {
    harness.daemon.actions.set('stats ports', () => report);
    const { code, stdout, stderr } = await harness.run(['vm', 'ports', 'box']);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'PORT      PROCESS  LISTENS ON               URL                 BY ADDRESS\n' +
        '80/tcp    web (7)  *                        http://box.vm:80    http://10.0.0.2:80\n' +
        '8080/tcp  web (7)  *                        http://box.vm:8080  http://10.0.0.2:8080\n' +
        '53/udp    web (7)  127.0.0.1 (inside only)  -                   -\n' +
        '5432/tcp  -        10.0.0.2                 -                   -\n',
    );
    expect(stderr).toContain('There are more');
    expect(stderr).toContain('box.vm needs a resolver');
    expect(JSON.parse((await harness.run(['vm', 'ports', '--json', 'box'])).stdout)).toEqual(
      report,
    );
  });

  it('are links where the terminal takes them, one each', async () => {
    harness.daemon.actions.set('stats ports', () => report);
    const { stdout } = await harness.run(['vm', 'ports', 'box'], { env: { FORCE_HYPERLINK: '1' } });
    for (const url of ['http://box.vm:80', 'http://box.vm:8080', 'http://10.0.0.2:8080'])
      expect(stdout.split(hyperlink(url, url))).toHaveLength(2);
  });

  it.each([
    [true, {}, false],
    [true, { TERM_PROGRAM: 'iTerm.app' }, true],
    [true, { TERM: 'xterm-kitty' }, true],
    [true, { VTE_VERSION: '6003' }, true],
    [true, { VTE_VERSION: '4601' }, false],
    [true, { WT_SESSION: 'x', TERM: 'dumb' }, false],
    [false, { WT_SESSION: 'x' }, false],
    [false, { FORCE_HYPERLINK: '1' }, true],
    [true, { FORCE_HYPERLINK: '0', WT_SESSION: 'x' }, false],
  ])('terminal %s with %j takes links: %s', (isTerminal, env, takes) => {
    expect(takesHyperlinks(isTerminal, env)).toBe(takes);
  });
});

describe('vm logs', () => {
  it('goes on from the part before the last one', async () => {
    const path = join(harness.directory, 'turned.log');
    writeFileSync(`${path}.1`, 'one\ntwo\n');
    writeFileSync(path, 'three\n');
    harness.daemon.addVm('box', { logs: { console: path } });
    const last = async (n: string) => (await harness.run(['vm', 'logs', '-n', n, 'box'])).stdout;
    expect((await harness.run(['vm', 'logs', 'box'])).stdout).toBe('one\ntwo\nthree\n');
    expect(await last('1')).toBe('three\n');
    expect(await last('2')).toBe('two\nthree\n');
    expect(await last('9')).toBe('one\ntwo\nthree\n');
  });

  it('--agent asks the guest, and takes its sequences out; ^C ends --follow', async () => {
    let text = '[1] starts\n\u001b[31m[2] warns\u0007\n';
    harness.daemon.actions.set('stats agent-log', () => ({ text }));
    const shown = await harness.run(['vm', 'logs', '--agent', 'box']);
    expect(shown.stdout).toBe('[1] starts\n[2] warns\n');
    expect(harness.daemon.bodies.at(-1)).toEqual({ vm: 'box' });
    const child = harness.start(['vm', 'logs', '--agent', '-f', '-n', '1', 'box']);
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await until(() => seen === '[2] warns\n');
    text += '[3] ends\n';
    await until(() => seen === '[2] warns\n[3] ends\n');
    const end = finished(child);
    child.kill('SIGINT');
    expect(await end).toMatchObject({ code: 130, signal: null, stderr: '' });
  });

  it('shows one log at a time', async () => {
    const both = await harness.run(['vm', 'logs', '--agent', '--vmm', 'box']);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('--agent or --vmm');
  });
});
