import { readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BangerError, type Teardown } from '../../core/plugin-api/index.ts';
import type { AgentIdentity, AgentObserved } from './identity.ts';

export const initrdName = (token: string): string => `initrd-${token}.cpio`;
const pattern = /^initrd-([a-z2-7]+)\.cpio$/;

const statOrUndefined = (path: string): Promise<{ dev: number; ino: number } | undefined> =>
  stat(path).then(
    ({ dev, ino }) => ({ dev, ino }),
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    },
  );

export const agentTeardown: Teardown<AgentIdentity, AgentObserved> = {
  cleanup: async ({ identity: { path }, observed }, host) => {
    const found = await statOrUndefined(path);
    if (found === undefined) return;
    const isSame =
      observed === undefined || (found.dev === observed.dev && found.ino === observed.ino);
    if (!isSame || dirname(path) !== host.directory)
      throw new BangerError('FOREIGN_OBJECT', `${path} is not the initrd that was written`);
    await rm(path, { force: true });
  },
  // The kernel has read it long ago: its loss harms nobody.
  reconcile: () => Promise.resolve('healthy'),
  scan: async ({ directory }) =>
    (await readdir(directory)).flatMap((name) => {
      const token = pattern.exec(name)?.[1];
      if (token === undefined) return [];
      const path = join(directory, name);
      return [{ token, description: `initrd ${path}`, identity: { path } }];
    }),
};
