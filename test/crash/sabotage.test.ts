import { afterEach, expect, inject, it } from 'vitest';
import { describeUnless } from '../support/skip.ts';
import { cannotCrash } from './support/cannot.ts';
import { CrashWorld } from './support/world.ts';

/** Each that has something on the host while a VM is there. */
const capabilities = ['rootfs', 'work-disk', 'tap-pool', 'nat', 'ssh', 'vsock-agent', 'qemu'];

describeUnless(cannotCrash, 'the suite itself', () => {
  let world: CrashWorld | undefined;
  afterEach(async () => {
    await world?.dispose();
    world = undefined;
  });

  it('finds nothing where all is well', async () => {
    world = await CrashWorld.create({ kit: inject('crashKit'), rootfs: 'qcow2' });
    await (await world.daemon()).mustOperate('POST', '/v1/vms', { name: 'v' });
    expect([...(await world.problems()), ...(await world.finish())]).toEqual([]);
    expect(await world.stop()).toEqual([]);
  });

  it.each(capabilities)('finds that %s cleans up nothing, and can mend it', async (capability) => {
    world = await CrashWorld.create({ kit: inject('crashKit'), rootfs: 'qcow2' });
    const mend = await world.sabotage(capability);
    await (await world.daemon()).mustOperate('POST', '/v1/vms', { name: 'v' });
    expect(await world.finish()).not.toEqual([]);
    // The rows are gone with the cleanup that never was: only the host itself tells now.
    await mend();
    const { ok, leaks } = await (await world.daemon()).fixLeaks();
    expect(leaks.filter(({ fixed }) => !fixed)).toEqual([]);
    expect(ok).toBe(true);
    expect(await world.finish()).toEqual([]);
    expect(await world.stop()).toEqual([]);
  });
});
