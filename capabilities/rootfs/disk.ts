import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  newToken,
  observePath,
  type Claim,
  type Claims,
  type Executor,
  type ImageSpec,
  type StartOperation,
} from '../../core/plugin-api/index.ts';
import {
  chooseDriver,
  createDisk,
  extensionOf,
  tryReflink,
  type DriverSetting,
} from './drivers.ts';
import type { DiskIdentity, RootfsIdentity, RootfsObserved } from './identity.ts';
import { snapshotObstacle } from './obstacle.ts';

type RootfsClaims = Claims<RootfsIdentity, RootfsObserved>;
export type DiskClaim = Claim<DiskIdentity, RootfsObserved>;

export const isDisk = (claim: Claim<RootfsIdentity, RootfsObserved>): claim is DiskClaim =>
  claim.identity.kind === 'disk';

export interface DiskMaker {
  make(operation: StartOperation, image: ImageSpec, claims: RootfsClaims): Promise<DiskClaim>;
}

export interface DiskMakerOptions {
  readonly setting: DriverSetting;
  readonly directory: string;
  readonly exec: Executor;
}

/** Of a VM's root disk: it grows with the record, and is never smaller than its image. */
export const diskBytes = async (
  vm: { readonly diskBytes: number },
  image: ImageSpec,
): Promise<number> => Math.max((await stat(image.rootPath)).size, vm.diskBytes);

/** Makes the root disks of new VMs. */
export const createDiskMaker = ({ setting, directory, exec }: DiskMakerOptions): DiskMaker => {
  /** By the file system's answer, which stays the same while the daemon runs. */
  let reflink: boolean | undefined;

  const probeReflink = async (image: string, claims: RootfsClaims): Promise<boolean> => {
    let works = false;
    const token = newToken(8);
    const path = join(directory, `root-${token}.raw`);
    const probe = await claims.ensure(
      { key: token, scope: 'op', token, identity: { kind: 'disk', path, driver: 'reflink' } },
      async () => {
        works = await tryReflink(image, path);
        return { value: undefined, ...(works ? { observed: await observePath(path) } : {}) };
      },
    );
    await claims.release(probe);
    return works;
  };

  return {
    make: async ({ vm, machine, signal }, image, claims) => {
      const driver = await chooseDriver(setting, machine.diskFormats, {
        reflink: async () => (reflink ??= await probeReflink(image.rootPath, claims)),
        snapshotObstacle: () => snapshotObstacle(exec),
      });
      if (driver === 'qcow2') await exec.require('qemu-img');
      const token = newToken(8);
      const path = join(directory, `root-${token}.${extensionOf[driver]}`);
      const bytes = await diskBytes(vm, image);
      const { size: imageBytes } = await stat(image.rootPath);
      const identity: DiskIdentity = { kind: 'disk', path, driver, imageBytes };
      // The key is the VM's: whatever goes wrong, it never has two root disks.
      const claim = await claims.ensure(
        { key: vm.id, scope: 'vm', token, identity, uses: [image.claimId] },
        async () => {
          await createDisk(driver, image.rootPath, path, bytes, exec, signal);
          return { value: undefined, observed: await observePath(path) };
        },
      );
      return { ...claim, identity };
    },
  };
};
