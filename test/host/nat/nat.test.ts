import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { natCapability as nat } from '../../../capabilities/nat/index.ts';
import { isComplete, markerOf, parseSaved } from '../../../capabilities/nat/rules.ts';
import { tapPoolCapability as tapPool } from '../../../capabilities/tap-pool/index.ts';
import type { Capability, Handlers } from '../../../core/capability.ts';
import type { Claim } from '../../../core/claim.ts';
import { BangerError } from '../../../core/errors.ts';
import type { StartOperation } from '../../../core/operation/context.ts';
import { NetWorld, startOperation, type TestDaemon } from '../tap-pool/support/net-world.ts';
import { reach, serve } from './support/tcp.ts';

interface Running {
  readonly daemon: TestDaemon;
  readonly parts: readonly (readonly [Capability, Handlers])[];
}

const never = new AbortController().signal;

describe('nat', () => {
  let world: NetWorld;
  /** A network on the other side of the host's uplink; it has no route to any guest. */
  let outside: string;
  let one: Running;

  const boot = async (config: object = {}): Promise<Running> => {
    const daemon = await world.daemon([tapPool, nat]);
    return {
      daemon,
      parts: [
        [tapPool, await daemon.setUp(tapPool)],
        [nat, await daemon.setUp(nat, config)],
      ],
    };
  };
  const start = ({ daemon, parts }: Running, vm: string) => daemon.start(vm, parts);
  const halt = async ({ daemon }: Running, ...vms: string[]): Promise<void> => {
    for (const vm of vms) await daemon.stop(vm);
    for (const vm of vms) await daemon.delete(vm);
    await daemon.end();
  };
  /** Something on the bridge that has the VM's address and MAC. */
  const plugIn = ({ daemon }: Running, { machine }: StartOperation): Promise<string> =>
    world.guest(
      daemon.host.instance.deviceName('br'),
      machine.seed.address ?? '',
      machine.nics[0]?.mac ?? '',
      machine.seed.gateway ?? '',
    );
  const claims = ({ daemon }: Running, kind: string): Claim[] =>
    daemon.ledger
      .bind(nat, null, never)
      .list({ all: true })
      .filter(({ identity }) => (identity as { kind: string }).kind === kind);
  const claimOf = (running: Running, kind: string): Claim => {
    const [claim] = claims(running, kind);
    if (claim === undefined) throw new Error(`no ${kind}`);
    return claim;
  };
  const reconcile = (running: Running, claim: Claim) =>
    nat.teardown?.reconcile(claim, running.daemon.host);
  const rules = async () => parseSaved(await world.onHost('iptables-save'));
  const forwarding = async (device: string): Promise<string> =>
    (await world.onHost('sysctl', '-n', `net.ipv4.conf.${device}.forwarding`)).trim();

  beforeEach(async () => {
    world = await NetWorld.create();
    outside = await world.join({ there: 'eth0', here: 'up0' });
    await world.run(outside, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'eth0');
    await world.onHost('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'up0');
    await world.onHost('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
    one = await boot();
  });
  afterEach(() => world.destroy());

  it('lets a guest reach the outside, by the host’s address', async () => {
    const server = await serve(outside);
    try {
      const a = await start(one, 'a');
      const guest = await plugIn(one, a);
      expect(await reach(world, guest, '192.0.2.1', server.port)).toBe('192.0.2.2');
      expect(await forwarding('all')).toBe('0');
      await one.daemon.stop('a');
      expect(await reach(world, guest, '192.0.2.1', server.port)).toBeUndefined();
    } finally {
      await server.close();
    }
  });

  it('lets it out through a firewall that drops what it does not know, as Docker’s', async () => {
    const server = await serve(outside);
    try {
      await world.onHost('iptables', '-P', 'FORWARD', 'DROP');
      await world.onHost('iptables', '-A', 'FORWARD', '-j', 'DROP');
      const guest = await plugIn(one, await start(one, 'a'));
      expect(await reach(world, guest, '192.0.2.1', server.port)).toBe('192.0.2.2');
    } finally {
      await server.close();
    }
  });

  it('lets nobody in from outside', async () => {
    const a = await start(one, 'a');
    const guest = await plugIn(one, a);
    const server = await serve(guest);
    try {
      const address = a.machine.seed.address?.split('/')[0] ?? '';
      await world.run(outside, 'ip', 'route', 'add', `${address}/32`, 'via', '192.0.2.2');
      expect(await reach(world, outside, address, server.port)).toBeUndefined();
      expect(await reach(world, world.host, address, server.port)).toBe(a.machine.seed.gateway);
    } finally {
      await server.close();
    }
  });

  it('leaves nothing behind', async () => {
    const before = await world.residue();
    await Promise.all(['a', 'b', 'c'].map((vm) => start(one, vm)));
    expect(await rules()).toHaveLength(3 * 3 + 1);
    await halt(one, 'a', 'b', 'c');
    expect(await world.residue()).toBe(before);
    expect(one.daemon.rows.select({})).toEqual([]);
    expect(await readdir(one.daemon.host.directory)).toEqual([]);
  });

  it('does nothing where there are no taps', async () => {
    const daemon = await world.daemon([nat]);
    const before = await world.residue();
    const handlers = await daemon.setUp(nat);
    await handlers.preflight?.(startOperation('a'));
    await daemon.start('a', [[nat, handlers]]);
    expect(await world.residue()).toBe(before);
    expect(daemon.rows.select({})).toEqual([]);
  });

  it('uses the uplinks that it is told', async () => {
    const told = await boot({ uplinks: ['lo', 'absent0'] });
    await start(told, 'a');
    expect([await forwarding('up0'), await forwarding('lo')]).toEqual(['0', '1']);
  });

  describe('cleanup', () => {
    it('is idempotent', async () => {
      await start(one, 'a');
      for (const claim of [claimOf(one, 'rules'), claimOf(one, 'forwarding')]) {
        await nat.teardown?.cleanup(claim, one.daemon.host);
        await nat.teardown?.cleanup(claim, one.daemon.host);
      }
      expect(await rules()).toEqual([]);
      expect(await forwarding('up0')).toBe('0');
    });

    it('of a bare intent finds nothing to do', async () => {
      const before = await world.residue();
      for (const identity of [
        { kind: 'rules', bridge: 'bgr-none', address: '10.64.0.2' },
        { kind: 'forwarding', device: 'up0', global: false },
      ]) {
        const claim = { identity, token: 'zzzzzzzz', state: 'intent', observed: undefined };
        await nat.teardown?.cleanup(claim as Claim, one.daemon.host);
      }
      expect(await world.residue()).toBe(before);
    });

    it('leaves rules alone that do not carry our marker', async () => {
      await start(one, 'a');
      const { address, bridge } = claimOf(one, 'rules').identity as Record<string, string>;
      const other = ['-s', `${address ?? ''}/32`, '-i', bridge ?? '', '-j', 'ACCEPT'];
      await world.onHost('iptables', '-A', 'FORWARD', ...other);
      const marked = ['-m', 'comment', '--comment', 'banger:other2:zzzzzzzz', '-j', 'ACCEPT'];
      await world.onHost('iptables', '-A', 'FORWARD', ...marked);
      await halt(one, 'a');
      const left = (await world.onHost('iptables', '-S', 'FORWARD')).split('\n').slice(1, -1);
      expect(left).toHaveLength(2);
    });
  });

  describe('reconcile', () => {
    it('finds all well', async () => {
      await start(one, 'a');
      for (const kind of ['rules', 'forwarding'])
        expect(await reconcile(one, claimOf(one, kind))).toBe('healthy');
    });

    it('puts back rules that were flushed, all or some, and the switches', async () => {
      const server = await serve(outside);
      try {
        const guest = await plugIn(one, await start(one, 'a'));
        const bridge = one.daemon.host.instance.deviceName('br');
        const mess: string[][] = [
          ['iptables', '-F', 'FORWARD'],
          ['iptables', '-t', 'nat', '-F'],
          ['iptables', '-D', 'FORWARD', '1'],
          ['sysctl', '-q', '-w', `net.ipv4.conf.${bridge}.forwarding=0`],
        ];
        for (const [file = '', ...args] of mess) {
          await world.onHost(file, ...args);
          expect(await reconcile(one, claimOf(one, 'rules'))).toBe('repaired');
          await reconcile(one, claimOf(one, 'forwarding'));
          const marker = one.daemon.host.instance.marker(claimOf(one, 'rules').token);
          expect(isComplete((await rules()).filter((r) => markerOf(r) === marker))).toBe(true);
          expect(await reach(world, guest, '192.0.2.1', server.port)).toBe('192.0.2.2');
        }
        await world.onHost('sysctl', '-q', '-w', 'net.ipv4.conf.up0.forwarding=0');
        expect(await reconcile(one, claimOf(one, 'forwarding'))).toBe('repaired');
        expect(await reach(world, guest, '192.0.2.1', server.port)).toBe('192.0.2.2');
      } finally {
        await server.close();
      }
    });

    it('does not repair what it cannot look at', async () => {
      await start(one, 'a');
      const { host } = one.daemon;
      const exec = { ...host.exec, run: () => host.exec.requirePrivilege().then(refuse) };
      expect(await nat.teardown?.reconcile(claimOf(one, 'rules'), { ...host, exec })).toBe(
        'unknown',
      );
    });
  });

  describe('forwarding on the uplink', () => {
    it('that was on is not ours to switch off', async () => {
      await world.onHost('sysctl', '-q', '-w', 'net.ipv4.conf.up0.forwarding=1');
      await start(one, 'a');
      expect(claims(one, 'forwarding')).toEqual([]);
      await halt(one, 'a');
      expect(await forwarding('up0')).toBe('1');
    });

    it('stays on while another daemon needs it, and the last one switches it off', async () => {
      for (const firstToGo of [0, 1] as const) {
        const before = await world.residue();
        const both = [one, await boot()] as const;
        await start(both[0], 'a');
        await start(both[1], 'a');
        await halt(both[firstToGo], 'a');
        expect(await forwarding('up0')).toBe('1');
        await halt(both[1 - firstToGo] ?? one, 'a');
        expect(await forwarding('up0')).toBe('0');
        expect(await world.residue()).toBe(before);
      }
    });

    it('stays on where someone has switched it on for the whole host meanwhile', async () => {
      await start(one, 'a');
      await world.onHost('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
      await halt(one, 'a');
      expect(await forwarding('up0')).toBe('1');
    });

    it('that someone switched off is switched on by the next start', async () => {
      await start(one, 'a');
      await world.onHost('sysctl', '-q', '-w', 'net.ipv4.conf.up0.forwarding=0');
      await start(one, 'b');
      expect(await forwarding('up0')).toBe('1');
      await halt(one, 'a', 'b');
      expect(await forwarding('up0')).toBe('0');
    });

    it('follows the default route when the daemon comes back', async () => {
      await start(one, 'a');
      await world.join({ there: 'eth0', here: 'up1' });
      await world.onHost('ip', 'route', 'replace', 'default', 'dev', 'up1');
      const [, handlers] = one.parts[1] ?? [];
      await handlers?.resume?.(startOperation('a'), one.daemon.ledger.bind(nat, null, never));
      expect(await forwarding('up1')).toBe('1');
    });
  });

  it('scan finds our rules, and enough in them to remove them', async () => {
    const other = await boot();
    await start(one, 'a');
    await start(other, 'a');
    const found = (await nat.teardown?.scan(one.daemon.host)) ?? [];
    const own = [claimOf(one, 'rules'), claimOf(one, 'forwarding')];
    expect(new Map(found.map(({ token, identity }) => [token, identity]))).toEqual(
      new Map(own.map(({ token, identity }) => [token, identity])),
    );
  });
});

const refuse = (): never => {
  throw new BangerError('PRIVILEGE_UNAVAILABLE', 'no privilege');
};
