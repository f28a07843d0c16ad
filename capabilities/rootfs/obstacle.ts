import { BangerError, toBangerError, type Executor } from '../../core/plugin-api/index.ts';
import { hasTarget } from './targets.ts';

/**
 * Why dm-snapshot does not work here, or undefined where it does. It needs root, losetup and dmsetup, and a kernel
 * with the target; the target's module is loaded if there is one.
 */
export const snapshotObstacle = async (exec: Executor): Promise<BangerError | undefined> => {
  try {
    await exec.require('losetup', 'dmsetup');
    await exec.requirePrivilege();
    if (await hasTarget('snapshot', exec)) return undefined;
    if ((await exec.which('modprobe')) !== undefined) {
      await exec.run('modprobe', ['--quiet', '--all', 'loop', 'dm_snapshot'], {
        privileged: true,
        okCodes: [0, 1],
      });
    }
    if (await hasTarget('snapshot', exec)) return undefined;
    return new BangerError(
      'INPUT_INVALID',
      'rootfs.driver "dm-snapshot" does not work here: the kernel has no device-mapper snapshot target',
      { remedy: 'Set rootfs.driver to "auto", or load the module: sudo modprobe dm_snapshot' },
    );
  } catch (error) {
    return toBangerError(error);
  }
};
