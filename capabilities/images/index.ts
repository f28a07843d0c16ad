import {
  defineCapability,
  ImagesRef,
  KernelsRef,
  provide,
  VmsRef,
  z,
} from '../../core/plugin-api/index.ts';
import { imageActions } from './actions.ts';
import { imagesIdentity } from './identity.ts';
import { ImageStore, toSpec } from './store.ts';
import { imagesTeardown } from './teardown.ts';

export const imagesCapability = defineCapability({
  id: 'images',
  summary: 'root file systems that VMs start from',
  after: ['kernels'],
  stage: 'image',
  config: z.strictObject({}),
  identity: imagesIdentity,
  teardown: imagesTeardown,
  needs: { kernels: KernelsRef, vms: VmsRef },
  setup: ({ claims, exec, directory, cacheDirectory, services }) => {
    const { kernels, vms } = services;
    const store = new ImageStore({ claims, exec, directory, cacheDirectory, kernels });
    return {
      provides: [provide(ImagesRef, store)],
      actions: imageActions(store, vms),

      preStart: async (operation, vmClaims) => {
        const { vm, machine } = operation;
        // A VM stays with the image that it began with, whatever is built under that name later.
        const bound = store.bindings().find(({ vmId }) => vmId === vm.id);
        const image =
          bound === undefined
            ? await store.resolve(vm.image, operation)
            : store.byId(bound.imageId);
        if (bound === undefined) {
          await vmClaims.acquire(
            {
              key: `binding:${vm.id}`,
              scope: 'vm',
              identity: { kind: 'binding', imageId: image.identity.id },
              uses: [image.claim.id],
            },
            () => Promise.resolve({ value: undefined }),
          );
        }
        machine.image = toSpec(image);
        machine.kernel = kernels.get(image.identity.kernelId);
      },
    };
  },
});
