import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  defineCapability,
  growFile,
  MachinesRef,
  newToken,
  observePath,
  reconcilePath,
  z,
  type Claims,
  type PathObserved,
  type WorkStep,
} from '../../core/plugin-api/index.ts';
import { createWorkDisk } from './create.ts';
import { workDiskIdentity, type WorkDiskIdentity } from './identity.ts';
import { workDiskTeardown } from './teardown.ts';

const grow = (bytes: number): WorkStep => ({
  id: `grow-${String(bytes)}`,
  summary: 'grow the file system of /root to its disk',
  when: 'once',
  kind: 'grow',
  path: '/root',
  bytes,
});

const diskOf = (own: Claims<WorkDiskIdentity, PathObserved>, vmId: string) =>
  own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vmId);

export const workDiskCapability = defineCapability({
  id: 'work-disk',
  summary: 'each VM’s second disk, mounted at /root',
  after: ['images', 'rootfs'],
  stage: 'work-disk',
  optional: true,
  config: z.strictObject({}),
  identity: workDiskIdentity,
  teardown: workDiskTeardown,
  needs: { machines: MachinesRef },
  setup: ({ claims: own, exec, directory, services }) => ({
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
          { key: vm.id, scope: 'vm', token, identity: { path, bytes: vm.diskBytes } },
          async () => {
            await createWorkDisk(image.workSeedPath, path, vm.diskBytes, exec, signal);
            return { value: undefined, observed: await observePath(path) };
          },
        );
      } else if ((await reconcilePath(claim.identity.path, claim.observed)) === 'lost') {
        throw new BangerError('VM_NOT_CLEAN', `the work disk ${claim.identity.path} is gone`, {
          remedy: 'Delete the VM and create it anew.',
        });
      } else {
        await growFile(claim.identity.path, vm.diskBytes);
      }
      machine.drives.push({
        id: 'work',
        toldBy: 'banger.work',
        path: claim.identity.path,
        format: 'raw',
        readOnly: false,
        durable: true,
      });
    },

    provision: ({ id, diskBytes }) => {
      const claim = diskOf(own, id);
      const isGrown = claim !== undefined && claim.identity.bytes !== diskBytes;
      return Promise.resolve(isGrown ? [grow(diskBytes)] : []);
    },

    change: async ({ vm }, from, claims) => {
      const [claim] = claims.list({ scope: 'vm' });
      if (claim === undefined || vm.diskBytes === from.diskBytes) return [];
      const { path } = claim.identity;
      const isGrown = await services.machines.growDrive(vm, 'work', vm.diskBytes, path);
      return isGrown ? [{ field: 'diskBytes', step: grow(vm.diskBytes) }] : [];
    },

    describe: async (vm) => {
      const claim = diskOf(own, vm.id);
      if (claim === undefined) return {};
      const { path } = claim.identity;
      if ((await reconcilePath(path, claim.observed)) === 'lost') return { path, lost: true };
      const { size, blocks } = await stat(path);
      return { path, size, bytes: blocks * 512 };
    },
  }),
});
