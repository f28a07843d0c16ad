import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imagesCapability } from '../../../../capabilities/images/index.ts';
import { observePath } from '../../../../core/host/owned-path.ts';
import type { ImageSpec } from '../../../../core/vmm/machine-spec.ts';
import type { DiskWorld } from './disk-world.ts';

export const smallImageBytes = 32 * 1024 ** 2;

/** An image as the store would hand it out, in miniature: real file systems and a real, held claim. */
export const createSmallImage = async (world: DiskWorld, id = 'small'): Promise<ImageSpec> => {
  const directory = world.directory(imagesCapability);
  const path = join(directory, `image-${id}`);
  await mkdir(join(path, 'content'), { recursive: true });
  await writeFile(join(path, 'content', 'hello'), 'from the image\n');
  for (const name of ['root.ext4', 'work.ext4']) {
    await world.exec.run('mkfs.ext4', [
      '-q',
      '-F',
      '-b',
      '4096', // as large ones have; small ones would get 1024
      '-d',
      join(path, 'content'),
      join(path, name),
      `${smallImageBytes / 1024}K`,
    ]);
  }
  await holdImage(world, id, path);
  return {
    id,
    name: 'small',
    claimId: `images/${id}`,
    rootPath: join(path, 'root.ext4'),
    workSeedPath: join(path, 'work.ext4'),
    init: 'lean',
  };
};

/** The claim of a stored image, for disks to use; `path` is in the images' folder. */
export const holdImage = async (world: DiskWorld, id: string, path: string): Promise<void> => {
  world.ledger.install({ capability: imagesCapability, host: world.host(imagesCapability) });
  const claims = world.ledger.bind(imagesCapability, null, new AbortController().signal);
  await claims.acquire(
    {
      key: id,
      scope: 'store',
      identity: {
        kind: 'image',
        path,
        id,
        name: 'small',
        recipe: 'none',
        init: 'lean',
        kernelId: 'none',
        createdAt: '2026-01-01T00:00:00Z',
      },
    },
    async () => ({ value: undefined, observed: await observePath(path) }),
  );
};

/** Nothing in it is sparse any more: whoever copies it needs the room. */
export const fillWithNoise = async (world: DiskWorld, path: string): Promise<void> => {
  await world.exec.run('dd', [
    'if=/dev/urandom',
    `of=${path}`,
    'bs=1M',
    `count=${smallImageBytes / 1024 ** 2}`,
    'conv=notrunc',
  ]);
};
