import { stat } from 'node:fs/promises';
import {
  BangerError,
  defineCapability,
  reconcilePath,
  z,
  type ProvisionStep,
} from '../../core/plugin-api/index.ts';
import { createDiskMaker } from './disk.ts';
import { formatOf } from './drivers.ts';
import { rootfsIdentity } from './identity.ts';
import { rootfsTeardown } from './teardown.ts';

/** Where /root has a disk of its own, that one has the size that was asked for. */
const grow: ProvisionStep = {
  id: 'grow-root',
  summary: 'grow the root file system to the disk',
  when: 'once',
  kind: 'script',
  script: 'mountpoint -q /root || resize2fs "$(findmnt -n -o SOURCE /)"',
};

export const rootfsCapability = defineCapability({
  id: 'rootfs',
  summary: 'each VM’s copy-on-write root disk',
  after: ['images'],
  stage: 'rootfs',
  config: z.strictObject({
    /** `auto`: reflink where the file system can, qcow2 under QEMU, a sparse copy otherwise. */
    driver: z.enum(['auto', 'reflink', 'qcow2', 'copy']).default('auto'),
  }),
  identity: rootfsIdentity,
  teardown: rootfsTeardown,
  setup: ({ config, claims: own, exec, directory }) => {
    const disks = createDiskMaker({ setting: config.driver, directory, exec });
    const diskOf = (vm: { readonly id: string }) =>
      own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vm.id);

    return {
      preStart: async (operation, claims) => {
        const { machine } = operation;
        const { image } = machine;
        if (image === undefined)
          throw new BangerError('IMAGE_UNKNOWN', 'no capability has named an image for this VM');
        const [existing] = claims.list({ scope: 'vm' });
        // Never made anew in silence: what the user wrote to it would be gone without a word.
        if (
          existing !== undefined &&
          (await reconcilePath(existing.identity.path, existing.observed)) === 'lost'
        ) {
          throw new BangerError('VM_NOT_CLEAN', `the root disk ${existing.identity.path} is gone`, {
            remedy: 'Delete the VM and create it anew.',
          });
        }
        // The driver is the recorded one, whatever the setting says by now.
        const claim = existing ?? (await disks.make(operation, image, claims));
        machine.rootGeneration = claim.token;
        machine.bootArgs.push('banger.root=serial=root');
        machine.drives.push({
          id: 'root',
          path: claim.identity.path,
          format: formatOf[claim.identity.driver],
          readOnly: false,
          durable: true,
        });
      },

      provision: async (vm) => (diskOf(vm)?.identity.grownTo === undefined ? [] : [grow]),

      describe: async (vm) => {
        const claim = diskOf(vm);
        if (claim === undefined) return {};
        const { path, driver } = claim.identity;
        if ((await reconcilePath(path, claim.observed)) === 'lost')
          return { driver, path, lost: true };
        const { blocks } = await stat(path);
        return { driver, path, bytes: blocks * 512 };
      },
    };
  },
});
