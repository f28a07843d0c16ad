import { createServer, connect, type AddressInfo, type Server } from 'node:net';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { cpus, totalmem } from 'node:os';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Agent } from '../../../capabilities/vsock-agent/agent.ts';
import { portsSchema, statsSchema } from '../../../capabilities/vsock-agent/figures.ts';
import { buildGuestHandlers, type GuestHandlers } from './guest-handler.ts';

const listenOn = async (host: string): Promise<Server> => {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  return server;
};

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe('the agent on this machine', () => {
  let guest: GuestHandlers;
  let agent: Agent;
  beforeAll(async () => {
    guest = await buildGuestHandlers();
    agent = guest.agent();
  }, 120_000);
  afterAll(() => guest.dispose());

  it('tells memory, load, CPU time and file systems', async () => {
    const stats = await agent.stats();
    expect(stats.memory.totalBytes).toBe(totalmem());
    expect(stats.memory.availableBytes).toBeLessThanOrEqual(stats.memory.totalBytes);
    expect(stats.memory.availableBytes).toBeGreaterThan(0);
    expect(stats.cpu.count).toBe(cpus().length);
    expect(stats.cpu.busyMs).toBeGreaterThan(0);
    expect(stats.cpu.totalMs).toBeGreaterThan(stats.cpu.busyMs);
    expect(stats.processes).toBeGreaterThan(1);
    const [root] = stats.filesystems;
    expect(root?.mount).toBe('/');
    expect(root?.usedBytes).toBeLessThanOrEqual(root?.sizeBytes ?? 0);
    const later = await agent.stats();
    expect(later.uptimeMs).toBeGreaterThanOrEqual(stats.uptimeMs);
    expect(later.cpu.totalMs).toBeGreaterThanOrEqual(stats.cpu.totalMs);
  });

  it('tells who listens, on IPv4, IPv6 and UDP', async () => {
    const four = await listenOn('127.0.0.1');
    const six = await listenOn('::1');
    const udp = createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    try {
      const { ports, more } = await agent.ports();
      expect(more).toBe(false);
      for (const [protocol, address, port] of [
        ['tcp', '127.0.0.1', portOf(four)],
        ['tcp', '::1', portOf(six)],
        ['udp', '127.0.0.1', udp.address().port],
      ] as const) {
        expect(ports.filter((each) => each.port === port && each.protocol === protocol)).toEqual([
          { protocol, address, port, pid: process.pid, process: expect.any(String) as string },
        ]);
      }
      expect(ports.find(({ port }) => port === portOf(four))?.process).not.toBe('');
    } finally {
      four.close();
      six.close();
      udp.close();
    }
    const after = await agent.ports();
    expect(after.ports.filter(({ pid }) => pid === process.pid)).toEqual([]);
  });

  it('counts no connection of a machine with itself', async () => {
    const before = (await agent.stats()).connections;
    const server = await listenOn('127.0.0.1');
    const accepted = once(server, 'connection');
    const client = connect(portOf(server), '127.0.0.1');
    await accepted;
    expect((await agent.stats()).connections).toBe(before);
    client.destroy();
    server.close();
  });

  it('fits a great many of them into one answer', async () => {
    const servers = await Promise.all(Array.from({ length: 230 }, () => listenOn('127.0.0.1')));
    const { ports, more } = await agent.ports();
    for (const server of servers) server.close();
    expect(more).toBe(true);
    expect(ports).toHaveLength(200);
  });
});

const goodStats = {
  uptimeMs: 1,
  memory: { total: 4, available: 3, swapTotal: 2, swapFree: 1 },
  load: [0.5, 1, 1.5],
  cpu: { count: 2, busyMs: 3, totalMs: 4 },
  processes: 5,
  connections: 6,
  filesystems: [{ mount: '/', size: 7, used: 6, available: 1 }],
};

const goodPort = { protocol: 'tcp', address: '0.0.0.0', port: 22, pid: 7, process: 'sshd' };

/** A good answer with one value, however deep, in the place of another. */
const withOne = (good: object, path: readonly string[], value: unknown): unknown => {
  const copy: unknown = structuredClone(good);
  let at = copy as Record<string, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[path.at(-1) ?? ''] = value;
  return copy;
};

const pathsOf = (value: unknown, prefix: readonly string[] = []): (readonly string[])[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [
        [...prefix, key],
        ...pathsOf(inner, [...prefix, key]),
      ])
    : [];

/** What is left for a terminal to obey. */
const controls = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

const numbersIn = (value: unknown): number[] =>
  typeof value === 'number'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(numbersIn)
      : [];

const textsIn = (value: unknown): string[] =>
  typeof value === 'string'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(textsIn)
      : [];

describe('what a hostile guest says of itself', () => {
  it('is taken where it makes sense', () => {
    expect(statsSchema.parse(goodStats).memory.availableBytes).toBe(3);
    const { ports } = portsSchema.parse({ ports: [goodPort, { ...goodPort, pid: 0 }], more: true });
    expect(ports.map(({ pid }) => pid)).toEqual([7, null]);
  });

  it.each([
    ['stats', statsSchema, goodStats],
    ['ports', portsSchema, { ports: [goodPort], more: false }],
  ] as const)('is harmless or refused, whatever it is: %s', (_, schema, good) => {
    const values = fc.oneof(
      fc.anything(),
      fc.double(),
      fc.integer(),
      fc.bigInt(),
      fc.string({ unit: 'binary' }),
      fc.array(fc.constant(goodPort), { maxLength: 600, size: 'max' }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...pathsOf(good)), values, (path, value) => {
        const answer = schema.safeParse(withOne(good, path, value));
        if (!answer.success) return;
        for (const number of numbersIn(answer.data)) {
          expect(Number.isFinite(number)).toBe(true);
          expect(number).toBeGreaterThanOrEqual(0);
        }
        for (const text of textsIn(answer.data)) {
          expect(text.length).toBeLessThanOrEqual(64);
          expect(text).not.toMatch(controls);
        }
        expect(JSON.stringify(answer.data).length).toBeLessThan(200_000);
      }),
      { numRuns: 2_000 },
    );
  });

  it('cannot turn a line or a terminal by a process’s name', () => {
    const name = 'a\u001b]8;;x\u0007\u202eb\n';
    const { ports } = portsSchema.parse({ ports: [{ ...goodPort, process: name }], more: false });
    expect(ports[0]?.process).toBe('a?]8;;x?b?');
  });

  it.each([
    [{ port: 0 }],
    [{ port: 65_536 }],
    [{ port: 1.5 }],
    [{ address: 'example.org' }],
    [{ address: '10.0.0.1/24' }],
    [{ pid: -1 }],
    [{ protocol: 'sctp' }],
  ])('is refused where a port is none: %j', (change) => {
    const answer = { ports: [{ ...goodPort, ...change }], more: false };
    expect(portsSchema.safeParse(answer).success).toBe(false);
  });

  it('is refused where JSON makes a number endless', () => {
    const text = JSON.stringify(goodStats).replace('"processes":5', '"processes":1e999');
    expect(statsSchema.safeParse(JSON.parse(text)).success).toBe(false);
  });
});
