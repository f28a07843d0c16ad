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
  make(
    operation: StartOperation,
    image: ImageSpec,
    size: DiskSize,
    claims: RootfsClaims,
  ): Promise<DiskClaim>;
}

export interface DiskMakerOptions {
  readonly setting: DriverSetting;
  readonly directory: string;
  readonly exec: Executor;
}

/** In bytes. */
export interface DiskSize {
  readonly image: number;
  /** The disk grows with the VM's record, and is never smaller than its image. */
  readonly disk: number;
}

export const diskSize = async (
  vm: { readonly diskBytes: number },
  { rootPath }: ImageSpec,
): Promise<DiskSize> => {
  const { size } = await stat(rootPath);
  return { image: size, disk: Math.max(size, vm.diskBytes) };
};

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
    make: async ({ vm, machine, signal }, image, size, claims) => {
      const driver = await chooseDriver(setting, machine.diskFormats, {
        reflink: async () => (reflink ??= await probeReflink(image.rootPath, claims)),
        snapshotObstacle: () => snapshotObstacle(exec),
      });
      if (driver === 'qcow2') await exec.require('qemu-img');
      const token = newToken(8);
      const path = join(directory, `root-${token}.${extensionOf[driver]}`);
      const identity: DiskIdentity = { kind: 'disk', path, driver, imageBytes: size.image };
      // The key is the VM's: whatever goes wrong, it never has two root disks.
      const claim = await claims.ensure(
        { key: vm.id, scope: 'vm', token, identity, uses: [image.claimId] },
        async () => {
          await createDisk(driver, image.rootPath, path, size.disk, exec, signal);
          return { value: undefined, observed: await observePath(path) };
        },
      );
      return { ...claim, identity };
    },
  };
};
