import { chmod, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  defineCapability,
  newToken,
  observePath,
  reconcilePath,
  z,
  type Claims,
  type PathObserved,
} from '../../core/plugin-api/index.ts';
import { chooseDriver, createDisk, formatOf, tryReflink } from './drivers.ts';
import { rootfsIdentity, type RootfsIdentity } from './identity.ts';
import { rootfsTeardown } from './teardown.ts';

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
    /** By the file system's answer, which stays the same while the daemon runs. */
    let reflink: boolean | undefined;

    const probeReflink = async (
      image: string,
      claims: Claims<RootfsIdentity, PathObserved>,
    ): Promise<boolean> => {
      let works = false;
      const token = newToken(8);
      const path = join(directory, `root-${token}.raw`);
      const probe = await claims.ensure(
        { key: token, scope: 'op', token, identity: { path, driver: 'reflink' } },
        async () => {
          works = await tryReflink(image, path);
          return { value: undefined, ...(works ? { observed: await observePath(path) } : {}) };
        },
      );
      await claims.release(probe);
      return works;
    };

    return {
      preStart: async ({ machine, signal }, claims) => {
        const { image } = machine;
        if (image === undefined)
          throw new BangerError('IMAGE_UNKNOWN', 'no capability has named an image for this VM');
        let [claim] = claims.list({ scope: 'vm' });
        if (claim === undefined) {
          reflink ??= await probeReflink(image.rootPath, claims);
          const driver = chooseDriver(config.driver, reflink, machine.diskFormats);
          const token = newToken(8);
          const path = join(directory, `root-${token}.${formatOf[driver]}`);
          claim = await claims.ensure(
            { key: token, scope: 'vm', token, identity: { path, driver }, uses: [image.claimId] },
            async () => {
              await createDisk(driver, image.rootPath, path, exec, signal);
              await chmod(path, 0o600);
              return { value: undefined, observed: await observePath(path) };
            },
          );
        } else if ((await reconcilePath(claim.identity.path, claim.observed)) === 'lost') {
          // Never made anew in silence: what the user wrote to it would be gone without a word.
          throw new BangerError('VM_NOT_CLEAN', `the root disk ${claim.identity.path} is gone`, {
            remedy: 'Put it back from a backup, or delete the VM.',
          });
        }
        const { path, driver } = claim.identity;
        machine.rootGeneration = claim.token;
        machine.bootArgs.push('banger.root=serial=root');
        machine.drives.push({
          id: 'root',
          path,
          format: formatOf[driver],
          readOnly: false,
          durable: true,
        });
      },

      describe: async (vm) => {
        const claim = own.list({ scope: 'vm', all: true }).find(({ ownerId }) => ownerId === vm.id);
        if (claim === undefined) return {};
        const { path, driver } = claim.identity;
        const { blocks } = await stat(path);
        return { driver, path, bytes: blocks * 512 };
      },
    };
  },
});
