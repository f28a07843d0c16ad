import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeUnless, firstOf, needsRoot, needsTools } from '../support/skip.ts';
import { tracesOf } from './support/leftovers.ts';
import { runProgram, type Outcome } from './support/run-program.ts';
import { createWorld, smallVms, type World } from './support/world.ts';

const without = (...ids: readonly string[]): string =>
  `${smallVms}\n[capabilities]\n${ids.map((id) => `${id} = false\n`).join('')}`;

const rulesOf = async (world: World): Promise<string[]> =>
  (await tracesOf(await world.traces())).filter((line) => line.startsWith('iptables-save'));

describe('a capability that is switched off', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });
  afterAll(() => world.dispose());

  const bootWithout = async (id: string): Promise<void> => {
    await world.writeConfig(without(id));
    await world.ok(['daemon', 'restart']);
    const { capabilities } = await world.status();
    expect(capabilities.filter(({ enabled }) => !enabled).map((each) => each.id)).toEqual([id]);
    await world.ok(['vm', 'create', '--name', id]);
    expect(await world.guest(id, 'hostname')).toBe(id);
  };

  it('nat: there is an address, and no rule', async () => {
    await bootWithout('nat');
    expect((await world.show('nat')).ip).toMatch(/^\d/);
    expect(await rulesOf(world)).toEqual([]);
  });

  it('ssh: no key is in the guest, and what needs it says so', async () => {
    await bootWithout('ssh');
    expect(await world.guest('ssh', 'cat /root/.ssh/authorized_keys 2> /dev/null | wc -l')).toBe(
      '0',
    );
    const refused = await world.cli(['vm', 'ssh', 'ssh', '--', 'true']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(/ssh.*switched off/);
  });

  it('work-disk: /root is on the root disk, and stays', async () => {
    await bootWithout('work-disk');
    expect(await world.guest('work-disk', 'mountpoint -q /root || echo none')).toBe('none');
    await world.guest('work-disk', 'echo kept > /root/note');
    await world.ok(['vm', 'restart', 'work-disk']);
    expect(await world.guest('work-disk', 'cat /root/note')).toBe('kept');
  });

  it('tap-pool: the guest has no network but the agent', async () => {
    await bootWithout('tap-pool');
    expect((await world.show('tap-pool')).ip).toBeNull();
    expect(await world.guest('tap-pool', 'ls /sys/class/net')).toBe('lo');
  });

  it('leaves what it had made to be taken away all the same', async () => {
    await world.writeConfig(smallVms);
    await world.ok(['daemon', 'restart']);
    await world.ok(['vm', 'delete', '--force', 'nat', 'ssh', 'work-disk', 'tap-pool']);
    await world.ok(['vm', 'create', '--name', 'all']);
    expect((await rulesOf(world)).length).toBeGreaterThan(0);
    await world.writeConfig(without('nat', 'ssh', 'work-disk', 'tap-pool'));
    await world.ok(['daemon', 'restart']);
    expect(await world.guest('all', 'hostname')).toBe('all');
    await world.ok(['vm', 'delete', '--force', 'all']);
    await world.ok(['daemon', 'stop']);
    expect(await tracesOf(await world.traces())).toEqual([]);
  });
});

/**
 * The daemon looks for tools in the sbin folders whatever its PATH, so iptables is taken away where it
 * lies: in a mount namespace of the daemon's own its program is covered by a file that nobody may execute.
 */
describeUnless(
  firstOf(needsRoot(), needsTools('unshare', 'iptables')),
  'a host without iptables',
  () => {
    let world: World;
    let covered: string;
    beforeAll(async () => {
      world = await createWorld({ config: without('nat') });
      covered = await realpath('/usr/sbin/iptables');
    });
    afterAll(() => world.dispose());

    /** The daemon that this starts stays in the namespace, and so do its helpers. */
    const inNamespace = (...args: readonly string[]): Promise<Outcome> =>
      runProgram(
        'unshare',
        [
          ...['--mount', '--propagation', 'private', 'sh', '-ec'],
          'mount --bind /dev/null "$1"; shift; ! command -v iptables > /dev/null; exec "$@"',
          ...['sh', covered, join(world.product, 'bin', 'banger'), ...args],
        ],
        { env: world.env },
      );

    it('is enough where nat is off', async () => {
      const created = await inNamespace('vm', 'create', '--name', 'bare');
      expect(created).toMatchObject({ code: 0, stdout: 'bare\n' });
      expect(await world.guest('bare', 'hostname')).toBe('bare');
      await world.ok(['vm', 'stop', 'bare']);
    });

    it('is enough to list VMs, and a start with nat says what is missing', async () => {
      await world.ok(['daemon', 'stop']);
      await world.writeConfig(smallVms);
      const listed = await inNamespace('vm', 'list');
      expect(listed).toMatchObject({ code: 0, stderr: '' });
      expect(listed.stdout).toMatch(/^bare +stopped /m);
      const refused = await world.cli(['vm', 'start', 'bare']);
      expect(refused.code).toBe(125);
      expect(refused.stderr).toContain('iptables is not installed');
      expect(refused.stderr).toContain('apt-get install iptables');
      expect(await world.show('bare')).toMatchObject({ state: 'stopped', pid: null });
      await world.ok(['vm', 'delete', 'bare']);
    });
  },
);
