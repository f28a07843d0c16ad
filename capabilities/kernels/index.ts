import {
  defineAction,
  defineCapability,
  KernelsRef,
  provide,
  z,
} from '../../core/plugin-api/index.ts';
import { kernelList } from './contract.ts';
import { kernelIdentity } from './identity.ts';
import { kernelRecipes } from './recipe.ts';
import { KernelStore } from './store.ts';
import { kernelTeardown } from './teardown.ts';

export const kernelsCapability = defineCapability({
  id: 'kernels',
  summary: 'kernels from distributions’ packages, unpacked for a direct boot',
  config: z.strictObject({}),
  identity: kernelIdentity,
  teardown: kernelTeardown,
  setup: ({ claims, exec, directory, cacheDirectory }) => {
    const store = new KernelStore({ claims, exec, directory, cacheDirectory });
    return {
      provides: [provide(KernelsRef, store)],
      actions: {
        list: defineAction({
          summary: 'kernels that images can use',
          mode: 'call',
          input: z.strictObject({}),
          output: kernelList,
          run: async () => {
            const stored = await Promise.all(
              store.list().map(async (claim) => ({
                name: claim.identity.name,
                id: claim.identity.id,
                release: claim.identity.release,
                bytes: await store.bytes(claim),
                createdAt: claim.identity.createdAt,
              })),
            );
            const absent = kernelRecipes
              .filter(({ name }) => !stored.some((kernel) => kernel.name === name))
              .map(({ name }) => ({ name, id: null, release: null, bytes: null, createdAt: null }));
            return { kernels: [...stored, ...absent] };
          },
        }),
      },
    };
  },
});
