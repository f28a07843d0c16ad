import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './support/world.ts';

/** Says who a guest takes itself for. */
const identity = 'cat /etc/hostname /etc/machine-id; getent hosts "$(hostname)"; hostname';

describe('what a VM keeps', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['vm', 'create', '--name', 'keep']);
  });
  afterAll(() => world.dispose());

  it('knows its name and has a machine id of its own', async () => {
    const [hostname, machineId, hosts, kernelName] = (await world.guest('keep', identity)).split(
      '\n',
    );
    expect(hostname).toBe('keep');
    expect(machineId).toMatch(/^[0-9a-f]{32}$/);
    expect(hosts).toContain('keep');
    expect(kernelName).toBe('keep');
    expect(await world.guest('keep', 'cat /etc/hosts')).toMatch(/\skeep\b/);
  });

  it('keeps files of both disks, their owners and modes, when it is stopped', async () => {
    const before = await world.guest('keep', identity);
    await world.guest(
      'keep',
      'echo home > /root/home && echo top > /top && mkdir -p /srv/deep && echo deep > /srv/deep/file' +
        ' && chmod 640 /top && chown 1234:4321 /top && ln -s /top /root/link',
    );
    await world.ok(['vm', 'stop', 'keep']);
    await world.ok(['vm', 'start', 'keep']);
    const kept = 'cat /root/home /root/link /srv/deep/file && stat -c "%a %u:%g" /top';
    expect(await world.guest('keep', kept)).toBe('home\ntop\ndeep\n640 1234:4321');
    expect(await world.guest('keep', identity)).toBe(before);
  });

  it('keeps what was synced when its power is cut', async () => {
    await world.guest('keep', 'echo safe > /root/safe && echo sound > /sound && sync');
    await world.ok(['vm', 'kill', 'keep']);
    await world.ok(['vm', 'start', 'keep']);
    expect(await world.guest('keep', 'cat /root/safe /sound /root/home')).toBe('safe\nsound\nhome');
  });

  it('leaves nothing to the next VM of its name', async () => {
    const before = await world.guest('keep', 'cat /etc/machine-id');
    const { id } = await world.show('keep');
    await world.ok(['vm', 'delete', '--force', 'keep']);
    await world.ok(['vm', 'create', '--name', 'keep']);
    expect((await world.show('keep')).id).not.toBe(id);
    const old = 'ls -d /top /sound /root/home /root/safe 2> /dev/null | wc -l';
    expect(await world.guest('keep', old)).toBe('0');
    expect(await world.guest('keep', 'cat /etc/machine-id')).not.toBe(before);
  });
});
