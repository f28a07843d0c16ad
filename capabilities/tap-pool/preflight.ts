import { open } from 'node:fs/promises';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';

const tunDevice = '/dev/net/tun';

/** The VMM opens it as the daemon's own user, so being able to open it is the test. */
export const assertTunUsable = async (path: string = tunDevice): Promise<void> => {
  try {
    await (await open(path, 'r+')).close();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') {
      throw new BangerError('PERMISSION_DENIED', `no permission for ${path}`, {
        // 0666 is udev's default (50-udev-default.rules): the device alone gives no rights.
        remedy: `Run: sudo chmod 0666 ${path}`,
        cause: error,
      });
    }
    throw new BangerError('NETWORK_UNAVAILABLE', `${path} cannot be used (${code ?? 'unknown'})`, {
      remedy: 'Load the module: sudo modprobe tun',
      cause: error,
    });
  }
};

/** @throws BangerError TOOL_MISSING, PERMISSION_DENIED, NETWORK_UNAVAILABLE, PRIVILEGE_UNAVAILABLE */
export const assertReady = async (exec: Executor): Promise<void> => {
  await exec.require('ip', 'sysctl');
  await assertTunUsable();
  await exec.requirePrivilege();
};
