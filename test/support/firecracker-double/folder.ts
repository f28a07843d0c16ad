import { chmod, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Where it looks for the modules of a kernel that it is given under another name. */
export const kernelsIn = (folder: string): string => join(folder, 'kernels');

/** Everybody may pass a folder of the tests' own, and those above it; what is in them says who may read it. */
export const letThrough = async (folder: string): Promise<void> => {
  const top = await realpath(tmpdir());
  const isInside = (path: string): boolean => path.startsWith(`${top}/`);
  for (let at = await realpath(folder); isInside(at); at = dirname(at)) await chmod(at, 0o711);
};
