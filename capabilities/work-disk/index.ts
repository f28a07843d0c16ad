import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  defineCapability,
  newToken,
  observePath,
  reconcilePath,
  z,
} from '../../core/plugin-api/index.ts';
import { createWorkDisk } from './create.ts';
import { workDiskIdentity } from './identity.ts';
import { workDiskTeardown } from './teardown.ts';

export const workDiskCapability = defineCapability({
  id: 'work-disk',
  summary: 'each VM’s second disk, mounted at /root',
  after: ['images', 'rootfs'],
  stage: 'work-disk',
  optional: true,
  config: z.strictObject({}),
  identity: workDiskIdentity,
  teardown: workDiskTeardown,
  setup: ({ claims: own, exec, directory }) => ({
    preflight: () => exec.require('resize2fs', 'tune2fs'),

    preStart: async ({ vm, machine, signal }, claims) => {
      const { image } = machine;
      if (image === undefined)
        throw new BangerError('IMAGE_UNKNOWN', 'no capability has named an image for this VM');
      let [claim] = claims.list({ scope: 'vm' });
      if (claim === undefined) {
        const token = newToken(8);
        const path = join(directory, `work-${token}.ext4`);
        // No `uses`: the copy stands alone, whatever becomes of the image.
        claim = await claims.ensure(
          { key: vm.id, scope: 'vm', token, identity: { path } },
          async () => {
            await createWorkDisk(image.workSeedPath, path, vm.diskBytes, exec, signal);
            return { value: undefined, observed: await observePath(path) };
          },
        );
      } else if ((await reconcilePath(claim.identity.path, claim.observed)) === 'lost') {
        throw new BangerError('VM_NOT_CLEAN', `the work disk ${claim.identity.path} is gone`, {
          remedy: 'Delete the VM and create it anew.',
        });
      }
      machine.bootArgs.push('banger.work=serial=work');
      machine.drives.push({
        id: 'work',
        path: claim.identity.path,
        format: 'raw',
        readOnly: false,
        durable: true,
      });
    },

    describe: async (vm) => {
      const claim = own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vm.id);
      if (claim === undefined) return {};
      const { path } = claim.identity;
      if ((await reconcilePath(path, claim.observed)) === 'lost') return { path, lost: true };
      const { size, blocks } = await stat(path);
      return { path, size, bytes: blocks * 512 };
    },
  }),
});
