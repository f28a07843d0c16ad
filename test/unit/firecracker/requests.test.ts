import fc from 'fast-check';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { send, type ApiRequest } from '../../../capabilities/firecracker/api/client.ts';
import { configuration, plainPaths } from '../../../capabilities/firecracker/configure.ts';
import { limitKeys, limitsOf } from '../../../capabilities/firecracker/limits.ts';
import { loadRequests } from '../../../capabilities/firecracker/snapshot.ts';
import type { Version } from '../../../capabilities/firecracker/version.ts';
import { z } from '../../../core/plugin-api/index.ts';
import type { MachineSpec } from '../../../core/vmm/machine-spec.ts';
import { bodyFault, findCall } from '../../support/firecracker-double/document.ts';
import { createApiServer } from '../../support/firecracker-double/http.ts';
import { tempDir } from '../../support/temp-dir.ts';

const never = new AbortController().signal;
const id = fc.stringMatching(/^\w{1,12}$/);
const path = fc.stringMatching(/^\/[\w ./-]{1,40}$/);

const machines: fc.Arbitrary<MachineSpec> = fc.record({
  vcpus: fc.integer({ min: 1, max: 32 }),
  memoryMib: fc.integer({ min: 64, max: 1_000_000 }),
  kernel: fc.record({
    id,
    release: id,
    path,
    initrdModules: fc.constant([]),
  }),
  initrd: path,
  bootArgs: fc.array(fc.stringMatching(/^[\w.=/-]{1,20}$/), { maxLength: 4 }),
  drives: fc.uniqueArray(
    fc.record({
      id,
      toldBy: fc.constantFrom('banger.root' as const, 'banger.work' as const),
      path,
      format: fc.constant('raw' as const),
      readOnly: fc.boolean(),
      durable: fc.boolean(),
    }),
    { maxLength: 4, selector: (drive) => drive.id },
  ),
  nics: fc.uniqueArray(fc.record({ id, tap: id, mac: fc.constant('02:00:00:00:00:01') }), {
    maxLength: 2,
    selector: (nic) => nic.id,
  }),
  seed: fc.constant({ hostname: 'vm', dns: [], files: [] }),
  agentChannel: fc.constant('vsock' as const),
  diskFormats: fc.constant(['raw'] as const),
});

const settings = z.strictObject(limitKeys);
const versions: fc.Arbitrary<Version> = fc.constantFrom([1, 10, 0] as const, [1, 17, 0] as const);
const limits = fc.record(
  { disk_bandwidth: fc.nat(), disk_ops: fc.nat(), network_bandwidth: fc.nat() },
  { requiredKeys: [] },
);

const faultOf = ({ method, path, body }: ApiRequest): string | undefined => {
  const call = findCall(method, path);
  if (call?.definition === undefined || call.definition === null) return `no ${method} ${path}`;
  // As it goes over the wire: what is undefined is left out.
  return bodyFault(call.definition, JSON.parse(JSON.stringify(body)));
};

describe('what Firecracker is told', () => {
  it('is what its document allows, field by field', () => {
    const told = new Set<string>();
    fc.assert(
      fc.property(machines, versions, limits, (machine, version, limited) => {
        for (const request of configuration(machine, version, limitsOf(limited))) {
          told.add(findCall(request.method, request.path)?.name ?? request.path);
          expect(faultOf(request)).toBeUndefined();
        }
      }),
    );
    expect([...told].sort()).toEqual([
      'PUT /balloon',
      'PUT /boot-source',
      'PUT /drives/{drive_id}',
      'PUT /entropy',
      'PUT /machine-config',
      'PUT /metrics',
      'PUT /network-interfaces/{iface_id}',
      'PUT /serial',
      'PUT /vsock',
    ]);
  });

  it('is what its document allows of a snapshot, too, by what each version knows', () => {
    const old: Version = [1, 11, 0];
    const known = fc.constantFrom<Version[]>(old, [1, 12, 0], [1, 17, 0]);
    const told = new Set<string>();
    fc.assert(
      fc.property(machines, known, (machine, version) => {
        if (version === old && machine.nics.length > 0) {
          expect(() => loadRequests(machine, version, plainPaths)).toThrow(/with another tap/);
          return;
        }
        const requests = loadRequests(machine, version, plainPaths);
        for (const request of requests) {
          told.add(`${request.method} ${request.path}`);
          expect(faultOf(request)).toBeUndefined();
        }
        const body = JSON.stringify(requests.at(-2)?.body);
        expect(body.includes('vsock_override')).toBe(version[1] === 17);
        for (const { tap } of machine.nics) expect(body).toContain(`"host_dev_name":"${tap}"`);
      }),
    );
    expect([...told].sort()).toEqual([
      'PATCH /vm',
      'PUT /metrics',
      'PUT /serial',
      'PUT /snapshot/load',
    ]);
  });

  it('has the limits of config.toml, of each disk and both ways of each interface', () => {
    const config = settings.parse({
      disk_bandwidth: '200M',
      disk_ops: 1000,
      network_bandwidth: '1.5G',
    });
    const [machine] = fc
      .sample(machines, 50)
      .filter(({ drives, nics }) => drives.length > 0 && nics.length > 0);
    if (machine === undefined) throw new Error('no machine');
    const told = configuration(machine, [1, 17, 0], limitsOf(config));
    const bytes = (size: number) => ({ bandwidth: { size, refill_time: 1000 } });
    for (const { path, body } of told) {
      if (path.startsWith('/drives/'))
        expect(body).toMatchObject({
          rate_limiter: { ...bytes(200 * 1024 ** 2), ops: { size: 1000, refill_time: 1000 } },
        });
      if (path.startsWith('/network-interfaces/'))
        expect(body).toMatchObject({
          rx_rate_limiter: bytes(1.5 * 1024 ** 3),
          tx_rate_limiter: bytes(1.5 * 1024 ** 3),
        });
    }
    expect(settings.safeParse({ disk_bandwidth: '10' }).success).toBe(false);
  });

  it('is checked: a field that is not there, one that is missing, and one of another kind are found', () => {
    expect(bodyFault('Drive', { drive_id: 'a', is_root_device: true, serial: 'x' })).toContain(
      'unknown field `serial`',
    );
    expect(bodyFault('BootSource', { boot_args: '' })).toContain(
      'missing field `kernel_image_path`',
    );
    expect(bodyFault('MachineConfiguration', { vcpu_count: '1', mem_size_mib: 1 })).toContain(
      'integer',
    );
  });

  it.each([
    [[1, 10, 0] as const, false],
    [[1, 14, 0] as const, true],
  ])('is, of version %s, only what that knows', (version, hasSerial) => {
    const [machine] = fc.sample(machines, 1);
    if (machine === undefined) throw new Error('no machine');
    const paths = configuration(machine, version).map(({ path }) => path);
    expect(paths.includes('/serial')).toBe(hasSerial);
  });
});

describe('what Firecracker answers', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  const listening = async (server: Server): Promise<string> => {
    const socket = join(await tempDir(), 'api.sock');
    servers.push(server);
    server.listen(socket);
    await once(server, 'listening');
    return socket;
  };
  const entropy: ApiRequest = { method: 'PUT', path: '/entropy', body: {} };

  it('is told in its own words, where it refuses', async () => {
    const refusal = { status: 400, body: '{"fault_message":"No such drive."}' } as const;
    const socket = await listening(createApiServer(() => Promise.resolve(refusal)));
    await expect(send(socket, entropy, never)).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: 'Firecracker refuses PUT /entropy: No such drive.',
    });
  });

  it('is told, too, where its server reads no further', async () => {
    const socket = await listening(createApiServer(() => Promise.resolve({ status: 204 })));
    const body = { kernel_image_path: '/k', boot_args: 'x'.repeat(60_000) };
    await expect(
      send(socket, { method: 'PUT', path: '/boot-source', body }, never),
    ).rejects.toThrow(
      /^Firecracker refuses PUT \/boot-source: Request payload with size \d+ is larger than the limit of 51200/,
    );
  });

  it('is told where it has no room for another client', async () => {
    const socket = await listening(createApiServer(() => Promise.resolve({ status: 204 })));
    const others = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const other = connect(socket);
        await once(other, 'connect');
        return other;
      }),
    );
    await expect(send(socket, entropy, never)).rejects.toThrow('Too many open connections');
    for (const other of others) other.destroy();
  });

  it('is an error of ours whatever it is', async () => {
    const answers = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 500 \r\nContent-Length: 2\r\n\r\n{}',
        'HTTP/1.1 400 \r\n\r\nno',
        '',
      ),
      fc.string(),
    );
    let answer = '';
    const socket = await listening(
      createServer((client) => {
        client.on('error', () => undefined);
        client.once('data', () => client.end(answer));
      }),
    );
    await fc.assert(
      fc.asyncProperty(answers, async (text) => {
        answer = text;
        await expect(send(socket, entropy, never)).rejects.toMatchObject({ code: 'VMM_FAILED' });
      }),
      { numRuns: 50 },
    );
  });
});
