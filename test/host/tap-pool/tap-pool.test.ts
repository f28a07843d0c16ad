import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tapPoolCapability as tapPool } from '../../../capabilities/tap-pool/index.ts';
import { listLinks } from '../../../capabilities/tap-pool/links.ts';
import { chooseSubnet } from '../../../capabilities/tap-pool/subnet.ts';
import type { Claim } from '../../../core/claim.ts';
import type { Handlers } from '../../../core/capability.ts';
import { NetWorld, startOperation, type TestDaemon } from './support/net-world.ts';

describe('tap-pool', () => {
  let world: NetWorld;
  let daemon: TestDaemon;
  let handlers: Handlers;

  beforeEach(async () => {
    world = await NetWorld.create();
    daemon = await world.daemon([tapPool]);
    handlers = await daemon.setUp(tapPool);
  });
  afterEach(() => world.destroy());

  const start = (vm: string, how = handlers) => daemon.start(vm, [[tapPool, how]]);
  const bridge = (): string => daemon.host.instance.deviceName('br');
  const links = () => listLinks(daemon.host.exec);
  const claimOf = (kind: string): Claim => {
    const claims = daemon.ledger
      .bind(tapPool, null, new AbortController().signal)
      .list({ all: true });
    const found = claims.find(({ identity }) => (identity as { kind: string }).kind === kind);
    if (found === undefined) throw new Error(`no ${kind}`);
    return found;
  };
  const reconcile = (claim: Claim) => tapPool.teardown?.reconcile(claim, daemon.host);
  const cleanup = (claim: Claim) => tapPool.teardown?.cleanup(claim, daemon.host);

  it('gives each VM a tap on the bridge and an address of its own', async () => {
    const machines = (await Promise.all(['a', 'b', 'c'].map((vm) => start(vm)))).map(
      ({ machine }) => machine,
    );
    const found = await links();
    expect(found.find(({ name }) => name === bridge())).toMatchObject({
      kind: 'bridge',
      isUp: true,
      addresses: [`${machines[0]?.seed.gateway ?? ''}/24`],
    });
    for (const { nics } of machines) {
      expect(found.find(({ name }) => name === nics[0]?.tap)).toMatchObject({
        kind: 'tun',
        master: bridge(),
        isUp: true,
      });
    }
    expect(new Set(machines.map(({ seed }) => seed.address)).size).toBe(3);
    expect(new Set(machines.map(({ nics }) => nics[0]?.mac)).size).toBe(3);
    await expect(handlers.describe?.(startOperation('a').vm)).resolves.toMatchObject({
      bridge: bridge(),
      tap: machines[0]?.nics[0]?.tap,
    });
  });

  it('keeps a guest from making itself the host’s IPv6 router', async () => {
    await start('a');
    const key = `net.ipv6.conf.${bridge()}.disable_ipv6`;
    expect(await world.onHost('sysctl', '-n', key)).toBe('1\n');
  });

  it('leaves nothing behind', async () => {
    const before = await world.residue();
    for (const vm of ['a', 'b']) await start(vm);
    for (const vm of ['a', 'b']) await daemon.stop(vm);
    for (const vm of ['a', 'b']) await daemon.delete(vm);
    await daemon.end();
    expect(await world.residue()).toBe(before);
    expect(daemon.rows.select({})).toEqual([]);
  });

  it('keeps the address over stop, start and the daemon’s end', async () => {
    const first = await start('a');
    const other = await start('b');
    await daemon.stop('a');
    await daemon.stop('b');
    await daemon.end();
    expect((await links()).map(({ name }) => name)).toEqual(['lo']);
    const [b, a] = [await start('b'), await start('a')];
    expect(a.machine.seed).toEqual(first.machine.seed);
    expect(b.machine.nics[0]?.mac).toBe(other.machine.nics[0]?.mac);
  });

  it('gives a deleted VM’s address to the next, with the same MAC, so that no ARP entry is wrong', async () => {
    const first = await start('a');
    await daemon.stop('a');
    await daemon.delete('a');
    const next = await start('b');
    expect(next.machine.seed.address).toBe(first.machine.seed.address);
    expect(next.machine.nics[0]?.mac).toBe(first.machine.nics[0]?.mac);
  });

  it('lets two daemons live side by side', async () => {
    const second = await world.daemon([tapPool]);
    const secondHandlers = await second.setUp(tapPool);
    const [one, two] = [await start('a'), await second.start('a', [[tapPool, secondHandlers]])];
    expect(one.machine.seed.gateway).not.toBe(two.machine.seed.gateway);
    await daemon.stop('a');
    await daemon.end();
    const names = (await links()).map(({ name }) => name);
    expect(names).toHaveLength(3); // lo, and the other's bridge and tap
    expect(await tapPool.teardown?.scan(daemon.host)).toEqual([]);
    expect(await tapPool.teardown?.scan(second.host)).toHaveLength(2);
  });

  it('survives the cancellation of the start that was making the bridge', async () => {
    const cancelled = new AbortController();
    const first = daemon.start('a', [[tapPool, handlers]], cancelled.signal);
    const second = start('b');
    cancelled.abort(new Error('cancelled'));
    await Promise.allSettled([first]);
    await expect(second).resolves.toBeDefined();
  });

  describe('subnet', () => {
    it('stays clear of routes, addresses and resolvers', async () => {
      const wanted = chooseSubnet(daemon.host.instance.token, []) ?? '';
      await world.onHost('ip', 'route', 'add', 'blackhole', wanted);
      const { machine } = await start('a');
      expect(machine.seed.gateway).toBeDefined();
      expect(machine.seed.gateway).not.toBe(wanted.replace('.0/24', '.1'));
    });

    it('is not put off by a VPN that has taken the default route', async () => {
      for (const half of ['0.0.0.0/1', '128.0.0.0/1'])
        await world.onHost('ip', 'route', 'add', 'blackhole', half);
      await expect(start('a')).resolves.toBeDefined();
    });

    it('names the route that it collides with', async () => {
      await world.onHost('ip', 'route', 'add', 'blackhole', '10.99.0.0/16');
      const configured = await daemon.setUp(tapPool, { subnet: '10.99.3.0/24' });
      await expect(start('a', configured)).rejects.toMatchObject({
        code: 'NETWORK_UNAVAILABLE',
        message: 'the guests’ subnet 10.99.3.0/24 collides with the route 10.99.0.0/16',
      });
      expect((await links()).map(({ name }) => name)).toEqual(['lo']);
    });

    it('names the route that took the VMs’ subnet while no bridge was there', async () => {
      const { machine } = await start('a');
      await daemon.stop('a');
      await daemon.end();
      const taken = `${machine.seed.gateway?.replace(/\.1$/, '.128') ?? ''}/25`;
      await world.onHost('ip', 'route', 'add', 'blackhole', taken);
      await expect(start('a')).rejects.toMatchObject({
        code: 'NETWORK_UNAVAILABLE',
        message: expect.stringContaining(`the route ${taken}`) as string,
      });
    });

    it('changes with the configuration while no VM has an address, and not after', async () => {
      await start('a');
      await daemon.stop('a');
      const configured = await daemon.setUp(tapPool, { subnet: '10.99.3.0/28' });
      await expect(start('a', configured)).rejects.toMatchObject({ code: 'NETWORK_UNAVAILABLE' });
      await daemon.delete('a');
      expect((await start('b', configured)).machine.seed.address).toBe('10.99.3.2/28');
    });

    it('says so when all addresses are leased', async () => {
      const small = await daemon.setUp(tapPool, { subnet: '10.99.3.0/29' });
      const all = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((vm) => start(vm, small)));
      expect(new Set(all.map(({ machine }) => machine.seed.address)).size).toBe(5);
      await expect(start('f', small)).rejects.toMatchObject({
        code: 'NETWORK_UNAVAILABLE',
        message: 'no address is left in 10.99.3.0/29',
      });
    });
  });

  describe('cleanup', () => {
    it('is idempotent', async () => {
      await start('a');
      for (const claim of [claimOf('tap'), claimOf('bridge'), claimOf('lease')]) {
        await cleanup(claim);
        await cleanup(claim);
      }
      expect((await links()).map(({ name }) => name)).toEqual(['lo']);
    });

    it('of a bare intent removes nothing, or the device that did not get its marker yet', async () => {
      await start('a');
      const tap = claimOf('tap');
      const name = daemon.host.instance.deviceName('zzzzz');
      const intent = {
        ...tap,
        token: 'zzzzz',
        state: 'intent' as const,
        observed: undefined,
        identity: { kind: 'tap', name, bridge: bridge() },
      };
      await cleanup(intent);
      await world.onHost('ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap');
      await cleanup(intent);
      expect((await links()).some((link) => link.name === name)).toBe(false);
    });

    it('leaves a foreign device under our name alone', async () => {
      await start('a');
      const tap = claimOf('tap');
      const { name } = tap.identity as { name: string };
      await world.onHost('ip', 'link', 'delete', name);
      await world.onHost('ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap');
      await expect(cleanup(tap)).rejects.toMatchObject({ code: 'FOREIGN_OBJECT' });
      expect(await reconcile(tap)).toBe('lost');
      // Another kind of device is foreign even to an intent.
      await world.onHost('ip', 'link', 'delete', name);
      await world.onHost('ip', 'link', 'add', name, 'type', 'bridge');
      await expect(cleanup({ ...tap, observed: undefined })).rejects.toMatchObject({
        code: 'FOREIGN_OBJECT',
      });
      expect((await links()).some((link) => link.name === name)).toBe(true);
    });

    it('never takes a bridge that was there before for its own', async () => {
      await world.onHost('ip', 'link', 'add', bridge(), 'type', 'bridge');
      await expect(start('a')).rejects.toMatchObject({ code: 'FOREIGN_OBJECT' });
      await daemon.stop('a');
      expect((await links()).some(({ name }) => name === bridge())).toBe(true);
    });

    it('does not take “not permitted” for “absent”', async () => {
      await start('a');
      const refusing = {
        ...daemon.host,
        exec: {
          ...daemon.host.exec,
          // Without the capability; the rest is the real thing.
          run: (file: string, args: readonly string[], options?: object) =>
            daemon.host.exec.run(
              'setpriv',
              ['--bounding-set=-net_admin', '--inh-caps=-net_admin', file, ...args],
              options,
            ),
        },
      };
      await expect(tapPool.teardown?.cleanup(claimOf('tap'), refusing)).rejects.toMatchObject({
        code: 'COMMAND_FAILED',
        message: expect.stringContaining('Operation not permitted') as string,
      });
    });
  });

  describe('reconcile', () => {
    it('finds all well', async () => {
      await start('a');
      for (const kind of ['bridge', 'tap', 'lease'])
        expect(await reconcile(claimOf(kind))).toBe('healthy');
    });

    it('puts the bridge’s address back', async () => {
      await start('a');
      const before = await world.residue();
      await world.onHost('ip', 'address', 'flush', 'dev', bridge());
      expect(await reconcile(claimOf('bridge'))).toBe('repaired');
      expect(await world.residue()).toBe(before);
    });

    it('makes a bridge that was removed anew, and puts its taps back on it', async () => {
      await start('a');
      await world.onHost('ip', 'link', 'delete', bridge());
      expect(await reconcile(claimOf('bridge'))).toBe('repaired');
      expect(await reconcile(claimOf('tap'))).toBe('repaired');
      expect(await reconcile(claimOf('tap'))).toBe('healthy');
    });

    it('tells that a tap, or a bridge of another boot, is gone', async () => {
      await start('a');
      const { name } = claimOf('tap').identity as { name: string };
      await world.onHost('ip', 'link', 'delete', name);
      expect(await reconcile(claimOf('tap'))).toBe('lost');
      await world.onHost('ip', 'link', 'delete', bridge());
      expect(await reconcile({ ...claimOf('bridge'), bootId: 'boot-0' })).toBe('lost');
    });

    it('happens before a start as well', async () => {
      await start('a');
      await world.onHost('ip', 'link', 'delete', bridge());
      const { machine } = await start('b');
      const tap = (await links()).find(({ name }) => name === machine.nics[0]?.tap);
      expect(tap?.master).toBe(bridge());
    });
  });

  it('scan finds all that is ours, marked or not, and nothing else', async () => {
    await start('a');
    await world.onHost('ip', 'link', 'add', 'other0', 'type', 'bridge');
    await world.onHost(
      ...(['ip', 'tuntap', 'add', 'dev'] as const),
      ...[daemon.host.instance.deviceName('zzzzz'), 'mode', 'tap'],
    );
    const found = await tapPool.teardown?.scan(daemon.host);
    expect(new Set(found?.map(({ token }) => token))).toEqual(
      new Set(['br', claimOf('tap').token, 'zzzzz']),
    );
  });
});
