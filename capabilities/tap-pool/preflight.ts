import { access, constants } from 'node:fs/promises';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';

/** @throws BangerError TOOL_MISSING, PRIVILEGE_UNAVAILABLE, PERMISSION_DENIED, each with a remedy */
export const preflight = async (exec: Executor, device = '/dev/net/tun'): Promise<void> => {
  await exec.require('ip');
  await exec.requirePrivilege();
  try {
    await access(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new BangerError('NETWORK_UNAVAILABLE', `${device} is not there`, {
        remedy: 'Load the driver: sudo modprobe tun',
      });
    }
    throw new BangerError('PERMISSION_DENIED', `no permission for ${device}`, {
      remedy: `Give it the mode that udev gives it: sudo chmod 0666 ${device}`,
    });
  }
};
