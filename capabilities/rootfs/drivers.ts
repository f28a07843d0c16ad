import { chmod, constants, copyFile, truncate } from 'node:fs/promises';
import { BangerError, type DiskFormat, type Executor } from '../../core/plugin-api/index.ts';
import type { RootfsDriver } from './identity.ts';

export const formatOf: Readonly<Record<RootfsDriver, DiskFormat>> = {
  reflink: 'raw',
  qcow2: 'qcow2',
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

/**
 * The cheapest means that the host and the VMM share.
 * @throws BangerError INPUT_INVALID where the setting asks for one that they do not
 */
export const chooseDriver = (
  setting: 'auto' | RootfsDriver,
  reflink: boolean,
  formats: readonly DiskFormat[],
): RootfsDriver => {
  if (setting === 'auto') {
    if (reflink && formats.includes('raw')) return 'reflink';
    return formats.includes('qcow2') ? 'qcow2' : 'copy';
  }
  if (setting === 'reflink' && !reflink) {
    throw new BangerError(
      'INPUT_INVALID',
      'rootfs.driver is "reflink", but the file system of the state directory cannot',
      { remedy: 'Set rootfs.driver to "auto", or move the state directory to btrfs or xfs.' },
    );
  }
  if (!formats.includes(formatOf[setting])) {
    throw new BangerError(
      'INPUT_INVALID',
      `rootfs.driver is "${setting}", but the VMM takes no ${formatOf[setting]} disks`,
      { remedy: 'Set rootfs.driver to "auto".' },
    );
  }
  return setting;
};

const copyTimeoutMs = 300_000;

/**
 * Makes `path`, which reads as the image and takes this VM's writes.
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
  const isOverlay = driver === 'qcow2';
  if (isOverlay) {
    await exec.run(
      'qemu-img',
      ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', image, path, String(bytes)],
      { signal },
    );
  } else {
    const how = driver === 'reflink' ? ['--reflink=always'] : ['--sparse=always', '--reflink=auto'];
    await exec.run('cp', [...how, '--', image, path], { signal, timeoutMs: copyTimeoutMs });
  }
  await chmod(path, 0o600); // a copy has the image's mode, which may be read-only
  if (!isOverlay) await truncate(path, bytes);
};
