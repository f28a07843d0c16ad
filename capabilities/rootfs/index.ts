import { stat } from 'node:fs/promises';
import {
  BangerError,
  defineCapability,
  reconcilePath,
  VmsRef,
  z,
  type ProvisionStep,
} from '../../core/plugin-api/index.ts';
import { createDiskMaker, diskSize, isDisk } from './disk.ts';
import { formatOf } from './drivers.ts';
import { growDisk } from './grow.ts';
import { asPath, rootfsIdentity } from './identity.ts';
import { snapshotObstacle } from './obstacle.ts';
import { activateSnapshot } from './snapshot.ts';
import { nodePath } from './targets.ts';
import { rootfsTeardown } from './teardown.ts';
import { createCowWatch } from './watch-cow.ts';

/** Where /root has a disk of its own, that one has the size that was asked for. */
const grow = (bytes: number): ProvisionStep => ({
  id: `grow-root-${String(bytes)}`,
  summary: 'grow the root file system to the disk',
  when: 'once',
  kind: 'script',
  script: 'mountpoint -q /root || resize2fs "$(findmnt -n -o SOURCE /)"',
});

export const rootfsCapability = defineCapability({
  id: 'rootfs',
  summary: 'each VM’s copy-on-write root disk',
  after: ['images'],
  stage: 'rootfs',
  config: z.strictObject({
    /** `auto`: reflink where the file system can, qcow2 under QEMU, else dm-snapshot, else a sparse copy. */
    driver: z.enum(['auto', 'reflink', 'qcow2', 'dm-snapshot', 'copy']).default('auto'),
  }),
  identity: rootfsIdentity,
  teardown: rootfsTeardown,
  needs: { vms: VmsRef },
  setup: ({ config, claims: own, exec, instance, directory, services, log }) => {
    const disks = createDiskMaker({ setting: config.driver, directory, exec });
    const watch = createCowWatch({ exec, directory, vms: services.vms, log });
    const ofVm = ({ id }: { readonly id: string }) => {
      const claims = own.list({ all: true }).filter(({ ownerId }) => ownerId === id);
      const target = claims
        .map(({ identity }) => identity)
        .find((identity) => identity.kind === 'target' && identity.of === 'snapshot');
      return {
        disk: claims.find(isDisk),
        target: target?.kind === 'target' ? target.name : undefined,
      };
    };
    return {
      preStart: async (operation, claims) => {
        const { machine, signal } = operation;
        const { image } = machine;
        if (image === undefined)
          throw new BangerError('IMAGE_UNKNOWN', 'no capability has named an image for this VM');
        const existing = claims.list({ scope: 'vm' }).find(isDisk);
        // Never made anew in silence: what the user wrote to it would be gone without a word.
        if (
          existing !== undefined &&
          (await reconcilePath(existing.identity.path, asPath(existing.observed))) === 'lost'
        ) {
          throw new BangerError('VM_NOT_CLEAN', `the root disk ${existing.identity.path} is gone`, {
            remedy: 'Delete the VM and create it anew.',
          });
        }
        // The driver is the recorded one, whatever the setting says by now.
        const size = await diskSize(operation.vm, image);
        const disk = existing ?? (await disks.make(operation, image, size, claims));
        const { driver } = disk.identity;
        if (existing !== undefined)
          await growDisk(driver, disk.identity.path, size.disk, exec, signal);
        let { path } = disk.identity;
        if (driver === 'dm-snapshot') {
          // One that was made just now was chosen by the same question.
          const obstacle = existing === undefined ? undefined : await snapshotObstacle(exec);
          if (obstacle !== undefined) throw obstacle;
          const host = { exec, instance, directory };
          const snapshot = await activateSnapshot(disk, image.rootPath, size, claims, host, signal);
          path = nodePath(snapshot.target);
          watch.add({ vm: operation.vm, target: snapshot.target, path: disk.identity.path });
          if (snapshot.wasFull)
            operation.notice('the root disk had run out of room; it is as after a power cut');
        }
        machine.rootGeneration = disk.token;
        machine.drives.push({
          id: 'root',
          toldBy: 'banger.root',
          path,
          format: formatOf[driver],
          readOnly: false,
          durable: true,
        });
      },

      resume: ({ vm }) => {
        const { disk, target } = ofVm(vm);
        if (disk !== undefined && target !== undefined)
          watch.add({ vm, target, path: disk.identity.path });
        return Promise.resolve();
      },
      exited: ({ vm }) => Promise.resolve(watch.remove(vm.id)),

      provision: (vm) => {
        const { imageBytes = 0 } = ofVm(vm).disk?.identity ?? {};
        return Promise.resolve(vm.diskBytes > imageBytes ? [grow(vm.diskBytes)] : []);
      },

      doctor: async () => {
        if (config.driver !== 'dm-snapshot') return [];
        const obstacle = await snapshotObstacle(exec);
        const check = { id: 'dm-snapshot', title: 'root disks by dm-snapshot' };
        return [
          obstacle === undefined
            ? { ...check, status: 'ok', detail: 'losetup, dmsetup, the target and privilege' }
            : { ...check, status: 'error', detail: obstacle.message, remedy: obstacle.remedy },
        ];
      },

      describe: async (vm) => {
        const { disk, target } = ofVm(vm);
        if (disk === undefined) return {};
        const { path, driver } = disk.identity;
        const device = target === undefined ? {} : { device: nodePath(target) };
        if ((await reconcilePath(path, asPath(disk.observed))) === 'lost')
          return { driver, path, ...device, lost: true };
        const { blocks } = await stat(path);
        return { driver, path, ...device, bytes: blocks * 512 };
      },
    };
  },
});
