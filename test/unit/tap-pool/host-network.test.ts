import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tapPoolCapability } from '../../../capabilities/tap-pool/index.ts';
import { tapPoolIdentity } from '../../../capabilities/tap-pool/identity.ts';
import { ownDevice, type Link } from '../../../capabilities/tap-pool/links.ts';
import { parseRoutes } from '../../../capabilities/tap-pool/occupied.ts';
import { assertTunUsable } from '../../../capabilities/tap-pool/preflight.ts';
import { hostResolvers, parseResolvConf } from '../../../capabilities/tap-pool/resolvers.ts';
import { createInstance } from '../../../core/host/instance.ts';

describe('resolvers', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-resolvers-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const files = async (...texts: string[]): Promise<string[]> => {
    const paths = texts.map((_, index) => join(folder, String(index)));
    for (const [index, path] of paths.entries()) await writeFile(path, texts[index] ?? '');
    return paths;
  };

  it('are read as resolv.conf(5) has them', () => {
    const text = [
      '# nameserver 1.1.1.1',
      '; nameserver 1.1.1.1',
      'search example.org',
      'nameserver 192.0.2.1',
      '  nameserver\t192.0.2.2 # the second',
      'nameserver fe80::1%eth0',
      'nameservers 192.0.2.9',
      'options edns0',
    ].join('\n');
    expect(parseResolvConf(text)).toEqual(['192.0.2.1', '192.0.2.2', 'fe80::1%eth0']);
  });

  it('come from behind a stub on loopback', async () => {
    const paths = await files('nameserver 127.0.0.53\n', 'nameserver 192.0.2.1\n');
    expect(await hostResolvers(paths)).toEqual(['192.0.2.1']);
  });

  it('leave out what a guest cannot reach, and stop at three', async () => {
    const [path = ''] = await files(
      ['127.0.0.1', '::1', '2001:db8::1', ...[1, 2, 3, 4].map((n) => `192.0.2.${String(n)}`)]
        .map((address) => `nameserver ${address}\n`)
        .join(''),
    );
    expect(await hostResolvers([path])).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
  });

  it('are none where no file has any', async () => {
    const paths = await files('nameserver 127.0.0.53\n');
    expect(await hostResolvers([...paths, join(folder, 'absent')])).toEqual([]);
  });
});

describe('routes', () => {
  it('occupy what they name, save the ways to everywhere', () => {
    const json = JSON.stringify([
      { dst: 'default', dev: 'eth0' },
      { dst: '0.0.0.0/1', dev: 'tun0' },
      { dst: '10.8.0.0/16', dev: 'tun0' },
      { type: 'blackhole', dst: '10.9.0.0/24' },
      { type: 'local', dst: '192.0.2.2', dev: 'eth0', table: 'local' },
    ]);
    expect(parseRoutes(json)).toEqual([
      { range: '10.8.0.0/16', by: 'the route 10.8.0.0/16 dev tun0' },
      { range: '10.9.0.0/24', by: 'the route 10.9.0.0/24' },
      { range: '192.0.2.2/32', by: 'the route 192.0.2.2 dev eth0' },
    ]);
  });
});

describe('/dev/net/tun', () => {
  it('that is absent needs its module', async () => {
    await expect(assertTunUsable('/no/such/tun')).rejects.toMatchObject({
      code: 'NETWORK_UNAVAILABLE',
      remedy: expect.stringContaining('modprobe tun') as string,
    });
  });
});

describe('ownDevice', () => {
  const instance = createInstance('abcdef');
  const name = instance.deviceName('zzzzz');
  const link = (change: Partial<Link>): Link => ({
    name,
    kind: 'tun',
    alias: 'banger:abcdef:zzzzz',
    master: undefined,
    isUp: true,
    addresses: [],
    ...change,
  });
  const claim = (observed: object | undefined) => ({
    identity: { kind: 'tap' as const, name },
    token: 'zzzzz',
    observed,
  });

  it.each([
    ['marked', {}, { ifindex: 7 }, 'ours'],
    ['marked, not observed yet', {}, undefined, 'ours'],
    ['unmarked, not observed yet', { alias: undefined }, undefined, 'ours'],
    ['unmarked, observed', { alias: undefined }, { ifindex: 7 }, 'foreign'],
    ['marked by another', { alias: 'banger:fedcba:zzzzz' }, undefined, 'foreign'],
    ['of another kind', { kind: 'veth' }, undefined, 'foreign'],
    ['of another name', { name: 'eth0' }, { ifindex: 7 }, 'absent'],
  ])('a device %s', (_, change, observed, expected) => {
    const look = (): Link | undefined => ownDevice([link(change)], claim(observed), instance);
    if (expected === 'foreign') {
      expect(look).toThrow(expect.objectContaining({ code: 'FOREIGN_OBJECT' }) as Error);
    } else {
      expect(look()?.name).toBe(expected === 'ours' ? name : undefined);
    }
  });
});

describe('the formats', () => {
  it.each([
    { kind: 'bridge', name: 'bgr-abcdefbr', address: '10.64.3.1/24' },
    { kind: 'tap', name: 'bgr-abcdefzzzzz', bridge: 'bgr-abcdefbr' },
    { kind: 'lease', subnet: '10.64.3.0/24', address: '10.64.3.2' },
  ])('reads identity version 1: $kind', (identity) => {
    expect(tapPoolIdentity.version).toBe(1);
    expect(tapPoolIdentity.schema.parse(identity)).toEqual(identity);
  });

  it('has settings with defaults, and refuses others', () => {
    const { config } = tapPoolCapability;
    expect(config.parse({})).toEqual({ subnet: 'auto', dns: [] });
    for (const wrong of [{ subnet: '10.64.3.1/24' }, { dns: ['ns.example'] }, { bridge: 'br0' }])
      expect(config.safeParse(wrong).success).toBe(false);
  });
});
