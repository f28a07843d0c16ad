import { defineAction, z, type Vms } from '../../core/plugin-api/index.ts';
import {
  imageBuild,
  imageDeleted,
  imageInfo,
  imageList,
  imageName,
  type ImageInfo,
} from './contract.ts';
import { imageRecipes } from './recipe.ts';
import type { ImageStore, StoredImage } from './store.ts';

const describe = async (store: ImageStore, image: StoredImage): Promise<ImageInfo> => ({
  name: image.identity.name,
  id: image.identity.id,
  init: image.identity.init,
  kernel:
    imageRecipes.find(({ name }) => name === image.identity.name)?.kernel ??
    image.identity.kernelId,
  bytes: await store.bytes(image),
  createdAt: image.identity.createdAt,
  usedBy: store
    .bindings()
    .filter(({ imageId }) => imageId === image.identity.id)
    .map(({ vmId }) => vmId),
});

const all = async (store: ImageStore): Promise<ImageInfo[]> => {
  const stored = await Promise.all(store.list().map((image) => describe(store, image)));
  const absent = imageRecipes
    .filter(({ name }) => !stored.some((image) => image.name === name))
    .map(({ name, init, kernel }) => ({
      name,
      id: null,
      init,
      kernel,
      bytes: null,
      createdAt: null,
      usedBy: [],
    }));
  return [...stored, ...absent];
};

export const imageActions = (store: ImageStore, vms: Vms) => ({
  list: defineAction({
    summary: 'images that are built, and those that can be',
    mode: 'call',
    input: z.strictObject({}),
    output: imageList,
    run: async () => ({ images: await all(store) }),
  }),
  show: defineAction({
    summary: 'one image',
    mode: 'call',
    input: imageName,
    output: imageInfo,
    run: async ({ name }) => {
      await store.assertKnown(name);
      const found = (await all(store)).find((image) => image.name === name);
      if (found === undefined) throw new Error(`image ${name} is known and yet not listed`);
      return found;
    },
  }),
  build: defineAction({
    summary: 'builds an image from its distribution’s packages',
    mode: 'operation',
    input: imageBuild,
    output: imageInfo,
    run: async ({ name, rebuild }, operation) =>
      describe(store, await store.resolve(name, operation, rebuild)),
  }),
  delete: defineAction({
    summary: 'deletes an image that no VM uses, from the cache as well',
    mode: 'call',
    input: imageName,
    output: imageDeleted,
    run: async ({ name }, { signal }) => ({
      deleted: await store.delete(name, (id) => vms.get(id).name, signal),
    }),
  }),
});
