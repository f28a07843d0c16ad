import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { speaksHttp } from '../../../capabilities/stats/http-probe.ts';
import { merge, withUrls } from '../../../capabilities/stats/ports.ts';
import type { ListeningPort } from '../../../core/plugin-api/index.ts';

const never = new AbortController().signal;
const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

const listen = async (server: Server): Promise<number> => {
  servers.push(server);
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

const saying = (greeting: string): Promise<number> =>
  listen(
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(greeting);
    }),
  );

describe('the question for HTTP', () => {
  it('is one HEAD of the root, answered by any status', async () => {
    const asked: string[] = [];
    const server = createHttpServer((request, response) => {
      asked.push(
        `${request.method ?? ''} ${request.url ?? ''} ${request.headers.connection ?? ''}`,
      );
      response.writeHead(404).end();
    });
    expect(await speaksHttp('127.0.0.1', await listen(server), never)).toBe(true);
    expect(asked).toEqual(['HEAD / close']);
  });

  it.each(['SSH-2.0-x\r\n', 'HTTP/2.0 200\r\n', 'HTTP/1.1 abc', 'HTTP/1.1', '', '\0'.repeat(99)])(
    'is a no by another greeting: %j',
    async (greeting) => {
      const port = await listen(
        createServer((socket) => {
          socket.on('error', () => undefined);
          socket.end(greeting);
        }),
      );
      expect(await speaksHttp('127.0.0.1', port, never)).toBe(false);
    },
  );

  it('reads no more than the beginning of what never ends', async () => {
    let sent = 0;
    const port = await listen(
      createServer((socket) => {
        socket.on('error', () => undefined);
        const flood = (): void => {
          while (!socket.destroyed && socket.write('x'.repeat(65_536))) sent += 65_536;
        };
        socket.on('drain', flood);
        flood();
      }),
    );
    expect(await speaksHttp('127.0.0.1', port, never)).toBe(false);
    expect(sent).toBeLessThan(64 * 1024 ** 2);
  });

  it('is given up by its signal, and is a no where nobody listens', async () => {
    const silent = await saying('');
    const soon = new AbortController();
    const answer = speaksHttp('127.0.0.1', silent, soon.signal);
    soon.abort();
    expect(await answer).toBe(false);
    const gone = createServer();
    const port = await listen(gone);
    await new Promise((resolve) => gone.close(resolve));
    expect(await speaksHttp('127.0.0.1', port, never)).toBe(false);
  });
});

const socket = (change: Partial<ListeningPort> = {}): ListeningPort => ({
  protocol: 'tcp',
  address: '0.0.0.0',
  port: 80,
  pid: 7,
  process: 'web',
  ...change,
});

describe('ports', () => {
  it('of one process are one entry, whatever it is bound to', () => {
    const merged = merge([
      socket({ protocol: 'udp', port: 53 }),
      socket({ port: 443 }),
      socket({ port: 80, address: '::' }),
      socket({ port: 80 }),
      socket({ port: 80, pid: 8, process: 'other', address: '10.0.0.1' }),
    ]);
    expect(
      merged.map(({ protocol, port, pid, addresses }) => [protocol, port, pid, addresses]),
    ).toEqual([
      ['tcp', 80, 7, ['::', '0.0.0.0']],
      ['tcp', 80, 8, ['10.0.0.1']],
      ['tcp', 443, 7, ['0.0.0.0']],
      ['udp', 53, 7, ['0.0.0.0']],
    ]);
  });

  it.each([
    ['127.0.0.1', false],
    ['127.9.9.9', false],
    ['::1', false],
    ['::ffff:127.0.0.1', false],
    ['0.0.0.0', true],
    ['::', true],
    ['10.0.0.1', true],
  ])('on %s are reachable: %s', (address, reachable) => {
    expect(merge([socket({ address })])[0]?.reachable).toBe(reachable);
  });

  it('that speak HTTP get an address by name and by number; others are not asked', async () => {
    const asked: number[] = [];
    const web = await listen(
      createHttpServer((_, response) => {
        asked.push(1);
        response.end();
      }),
    );
    const other = await saying('220 mail\r\n');
    const told = await withUrls(
      merge([
        socket({ port: web }),
        socket({ port: other, pid: 8 }),
        socket({ port: web, pid: 9, protocol: 'udp' }),
        socket({ port: web, pid: 10, address: '127.0.0.1' }),
      ]),
      'box',
      '127.0.0.1',
      never,
    );
    expect(told.find(({ pid }) => pid === 7)).toMatchObject({
      http: true,
      url: `http://box.vm:${String(web)}`,
      addressUrl: `http://127.0.0.1:${String(web)}`,
    });
    expect(told.find(({ pid }) => pid === 8)).toMatchObject({ http: false, url: null });
    for (const pid of [9, 10])
      expect(told.find((each) => each.pid === pid)).toMatchObject({ http: null, url: null });
    expect(asked).toEqual([1]);
  });
});
