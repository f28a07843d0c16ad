import { chmod, constants, copyFile, open, truncate } from 'node:fs/promises';
import { BangerError, type DiskFormat, type Executor } from '../../core/plugin-api/index.ts';
import { cowBytes } from './cow.ts';
import type { RootfsDriver } from './identity.ts';

export type DriverSetting = 'auto' | RootfsDriver;

/** Of the drive that the VMM gets. */
export const formatOf: Readonly<Record<RootfsDriver, DiskFormat>> = {
  reflink: 'raw',
  qcow2: 'qcow2',
  'dm-snapshot': 'raw',
  copy: 'raw',
};

export const extensionOf: Readonly<Record<RootfsDriver, string>> = {
  reflink: 'raw',
  qcow2: 'qcow2',
  'dm-snapshot': 'cow',
  copy: 'raw',
};

/** FICLONE's ways to say no (ioctl_ficlone(2)), and Node's own where the kernel has no such call. */
const cannot = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS']);

/** Makes `path` share its blocks with the image (btrfs, xfs, bcachefs). @returns whether that works */
export const tryReflink = async (image: string, path: string): Promise<boolean> => {
  try {
    await copyFile(image, path, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (cannot.has((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
};

/** What the host can do, asked only where the answer matters. */
export interface HostAbilities {
  reflink(): Promise<boolean>;
  /** Why dm-snapshot does not work here, or undefined where it does. */
  snapshotObstacle(): Promise<BangerError | undefined>;
}

/**
 * The best means that the host and the VMM share: first those that cost nothing per start and need no privilege.
 * @throws BangerError INPUT_INVALID, TOOL_MISSING, PRIVILEGE_UNAVAILABLE where the setting asks for one that they do not
 */
export const chooseDriver = async (
  setting: DriverSetting,
  formats: readonly DiskFormat[],
  host: HostAbilities,
): Promise<RootfsDriver> => {
  if (setting === 'auto') {
    if (formats.includes('raw') && (await host.reflink())) return 'reflink';
    if (formats.includes('qcow2')) return 'qcow2';
    return (await host.snapshotObstacle()) === undefined ? 'dm-snapshot' : 'copy';
  }
  if (!formats.includes(formatOf[setting])) {
    throw new BangerError(
      'INPUT_INVALID',
      `rootfs.driver is "${setting}", but the VMM takes no ${formatOf[setting]} disks`,
      { remedy: 'Set rootfs.driver to "auto".' },
    );
  }
  if (setting === 'reflink' && !(await host.reflink())) {
    throw new BangerError(
      'INPUT_INVALID',
      'rootfs.driver is "reflink", but the file system of the state directory cannot',
      { remedy: 'Set rootfs.driver to "auto", or move the state directory to btrfs or xfs.' },
    );
  }
  const obstacle = setting === 'dm-snapshot' ? await host.snapshotObstacle() : undefined;
  if (obstacle !== undefined) throw obstacle;
  return setting;
};

const copyTimeoutMs = 300_000;

/**
 * Makes `path`, which reads as the image and takes this VM's writes; under dm-snapshot, what takes the writes.
 * @param bytes not less than the image's; what is beyond it is for the guest to grow into
 */
export const createDisk = async (
  driver: RootfsDriver,
  image: string,
  path: string,
  bytes: number,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  switch (driver) {
    case 'qcow2':
      await exec.run(
        'qemu-img',
        ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', image, path, String(bytes)],
        { signal },
      );
      await chmod(path, 0o600);
      return;
    case 'dm-snapshot': {
      const file = await open(path, 'wx', 0o600);
      try {
        await file.truncate(cowBytes(bytes));
      } finally {
        await file.close();
      }
      return;
    }
    case 'reflink':
    case 'copy': {
      const how =
        driver === 'reflink' ? ['--reflink=always'] : ['--sparse=always', '--reflink=auto'];
      await exec.run('cp', [...how, '--', image, path], { signal, timeoutMs: copyTimeoutMs });
      await chmod(path, 0o600); // a copy has the image's mode, which may be read-only
      await truncate(path, bytes);
    }
  }
};
