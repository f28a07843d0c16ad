import { randomBytes } from 'node:crypto';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { encodeToken } from '../token.ts';
import type { Instance } from './host.ts';

const stored = z.object({
  token: z.string().regex(/^[a-z2-7]{6}$/),
  dev: z.string(),
  ino: z.string(),
});

/** IFNAMSIZ (16) − the terminating NUL, linux/if.h. */
const maxDeviceName = 15;
const prefix = 'bgr-';

export const createInstance = (token: string): Instance => ({
  token,
  deviceName: (suffix) => {
    const name = `${prefix}${token}${suffix}`;
    if (name.length > maxDeviceName || !/^[a-z2-7]+$/.test(suffix))
      throw new RangeError(`'${suffix}' does not fit into a device name`);
    return name;
  },
  marker: (claimToken) => `banger:${token}:${claimToken}`,
  parseMarker: (marker) => {
    const own = `banger:${token}:`;
    return marker.startsWith(own) ? marker.slice(own.length) : undefined;
  },
});

/**
 * The token of this state directory. It is bound to the directory's dev:inode, so that a copy of the
 * directory gets a token of its own and never tears down the original's VMs.
 */
export const loadInstance = async (stateDirectory: string): Promise<Instance> => {
  const path = join(stateDirectory, 'instance.json');
  const { dev, ino } = await stat(stateDirectory, { bigint: true });
  const found = await readFile(path, 'utf8').then(
    (text) => {
      const parsed = stored.safeParse(parseJson(text));
      return parsed.success ? parsed.data : undefined;
    },
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    },
  );
  if (found !== undefined && found.dev === String(dev) && found.ino === String(ino))
    return createInstance(found.token);
  const token = encodeToken(randomBytes(6), 6);
  const partial = `${path}.partial`;
  await writeFile(partial, JSON.stringify({ token, dev: String(dev), ino: String(ino) }), {
    mode: 0o600,
    flush: true,
  });
  await rename(partial, path);
  return createInstance(token);
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
};
