import { rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineSpec } from '../../core/plugin-api/index.ts';

/** What a drive is called in the VM's folder, Firecracker's working directory. */
export const stagedDrive = (id: string): string => `drive-${id}`;

const stagedKernel = 'kernel';
const stagedInitrd = 'initrd';

export interface StagedFile {
  readonly name: string;
  readonly target: string;
  /** Whether it is written to: then it is the VM's own. */
  readonly isWritten: boolean;
}

export interface Stage {
  /** The machine, the paths of its files relative to the VM's folder. */
  readonly machine: MachineSpec;
  /** Where these lead. */
  readonly files: readonly StagedFile[];
}

/**
 * A machine's files by names in the VM's folder: by those Firecracker is told of them. A snapshot has the paths of its
 * drives in it, which cannot be overridden, and so fits wherever these names lead to the files that it needs.
 */
export const staged = (machine: MachineSpec): Stage => {
  const { kernel, initrd, drives } = machine;
  const files = drives.map(({ id, path, readOnly }) => ({
    name: stagedDrive(id),
    target: path,
    isWritten: !readOnly,
  }));
  if (kernel !== undefined)
    files.push({ name: stagedKernel, target: kernel.path, isWritten: false });
  if (initrd !== undefined) files.push({ name: stagedInitrd, target: initrd, isWritten: false });
  return {
    files,
    machine: {
      ...machine,
      ...(kernel === undefined ? {} : { kernel: { ...kernel, path: stagedKernel } }),
      ...(initrd === undefined ? {} : { initrd: stagedInitrd }),
      drives: drives.map((drive) => ({ ...drive, path: stagedDrive(drive.id) })),
    },
  };
};

/** Puts them into the folder, in the place of an earlier run's. */
export const linkFiles = async (folder: string, files: Stage['files']): Promise<void> => {
  for (const { name, target } of files) {
    await rm(join(folder, name), { force: true });
    await symlink(target, join(folder, name));
  }
};
