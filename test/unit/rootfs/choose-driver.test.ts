import { describe, expect, it } from 'vitest';
import {
  chooseDriver,
  formatOf,
  type HostAbilities,
} from '../../../capabilities/rootfs/drivers.ts';
import { BangerError } from '../../../core/errors.ts';

const host = (reflink: boolean, snapshot: boolean): HostAbilities => ({
  reflink: () => Promise.resolve(reflink),
  snapshotObstacle: () =>
    Promise.resolve(snapshot ? undefined : new BangerError('TOOL_MISSING', 'dmsetup is missing')),
});

/** To ask may cost an open of a file, a module, a sudo. */
const unasked: HostAbilities = {
  reflink: () => Promise.reject(new Error('asked')),
  snapshotObstacle: () => Promise.reject(new Error('asked')),
};

describe('the kind of a root disk', () => {
  it.each([
    [true, true, ['qcow2', 'raw'], 'reflink'],
    [false, true, ['qcow2', 'raw'], 'qcow2'],
    [true, true, ['raw'], 'reflink'],
    [false, true, ['raw'], 'dm-snapshot'],
    [false, false, ['raw'], 'copy'],
    [true, true, ['qcow2'], 'qcow2'],
  ] as const)(
    'with reflink %s, dm-snapshot %s and a VMM that takes %j is %s',
    async (reflink, snapshot, formats, driver) => {
      expect(await chooseDriver('auto', formats, host(reflink, snapshot))).toBe(driver);
    },
  );

  it.each(['reflink', 'qcow2', 'dm-snapshot', 'copy'] as const)(
    'is %s where that is asked for',
    async (driver) => {
      expect(await chooseDriver(driver, ['qcow2', 'raw'], host(true, true))).toBe(driver);
      expect(['qcow2', 'raw']).toContain(formatOf[driver]);
    },
  );

  it('does not ask the host for what does not matter', async () => {
    expect(await chooseDriver('qcow2', ['qcow2'], unasked)).toBe('qcow2');
    expect(await chooseDriver('copy', ['raw'], unasked)).toBe('copy');
    const { snapshotObstacle } = unasked;
    const withReflink = { ...host(true, true), snapshotObstacle };
    expect(await chooseDriver('auto', ['raw'], withReflink)).toBe('reflink');
  });

  it('is refused where the host or the VMM cannot, with the way out', async () => {
    await expect(chooseDriver('reflink', ['raw'], host(false, true))).rejects.toThrow(
      'file system',
    );
    await expect(chooseDriver('qcow2', ['raw'], host(true, true))).rejects.toThrow(
      'no qcow2 disks',
    );
    await expect(chooseDriver('dm-snapshot', ['raw'], host(true, false))).rejects.toMatchObject({
      code: 'TOOL_MISSING',
    });
    await expect(chooseDriver('copy', ['qcow2'], host(true, true))).rejects.toMatchObject({
      remedy: 'Set rootfs.driver to "auto".',
    });
  });
});
