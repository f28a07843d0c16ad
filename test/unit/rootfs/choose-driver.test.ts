import { describe, expect, it } from 'vitest';
import { chooseDriver, formatOf } from '../../../capabilities/rootfs/drivers.ts';

describe('the kind of a root disk', () => {
  it.each([
    [true, ['qcow2', 'raw'], 'reflink'],
    [false, ['qcow2', 'raw'], 'qcow2'],
    [false, ['raw'], 'copy'],
    [true, ['qcow2'], 'qcow2'],
  ] as const)('with reflink %s and a VMM that takes %j is %s', (reflink, formats, driver) => {
    expect(chooseDriver('auto', reflink, formats)).toBe(driver);
  });

  it.each(['reflink', 'qcow2', 'copy'] as const)('is %s where that is asked for', (driver) => {
    expect(chooseDriver(driver, true, ['qcow2', 'raw'])).toBe(driver);
    expect(['qcow2', 'raw']).toContain(formatOf[driver]);
  });

  it('is refused where the host or the VMM cannot, with the way out', () => {
    expect(() => chooseDriver('reflink', false, ['raw'])).toThrow('file system');
    expect(() => chooseDriver('qcow2', true, ['raw'])).toThrow('no qcow2 disks');
    expect(() => chooseDriver('copy', true, ['qcow2'])).toThrow(
      expect.objectContaining({ remedy: 'Set rootfs.driver to "auto".' }),
    );
  });
});
