import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Capability } from '../../../../core/capability.ts';
import type { Claim } from '../../../../core/claim.ts';
import { observePath, type PathObserved } from '../../../../core/host/owned-path.ts';
import { DiskWorld } from './disk-world.ts';

interface OwnedPath {
  readonly capability: Capability;
  /** The object's name in the capability's folder, for that token. */
  nameOf(token: string): string;
  readonly isFolder: boolean;
  /** Whatever the identity has beside the path. */
  readonly identity: Readonly<Record<string, unknown>>;
}

const token = 'abcdefgh';

/** What holds for the teardown of every capability whose objects are files or folders of its own. */
export const describeOwnedPath = (owned: OwnedPath): void => {
  const { capability } = owned;
  const teardown = capability.teardown;
  if (teardown === undefined) throw new Error(`${capability.id} has no teardown`);

  describe(`what ${capability.id} makes`, () => {
    let world: DiskWorld;
    let path: string;

    beforeEach(async () => {
      world = await DiskWorld.create();
      await mkdir(world.directory(capability), { recursive: true });
      path = join(world.directory(capability), owned.nameOf(token));
    });
    afterEach(() => world.destroy());

    const make = async (): Promise<void> => {
      if (!owned.isFolder) return writeFile(path, 'ours');
      await mkdir(path);
      await writeFile(join(path, 'file'), 'ours');
    };
    const claim = (observed?: PathObserved): Claim => ({
      id: `${capability.id}/key`,
      seq: 1,
      capability: capability.id,
      key: 'key',
      scope: 'vm',
      token,
      ownerId: 'vm-1',
      runId: null,
      identity: capability.identity?.schema.parse({ path, ...owned.identity }),
      observed,
      uses: [],
      state: observed === undefined ? 'intent' : 'held',
      bootId: 'boot-1',
    });
    const host = () => world.host(capability);

    it('is removed, also a second time', async () => {
      await make();
      const held = claim(await observePath(path));
      await teardown.cleanup(held, host());
      expect(existsSync(path)).toBe(false);
      await teardown.cleanup(held, host());
    });

    it('is removed by the intent alone, half-way made or not at all', async () => {
      await teardown.cleanup(claim(), host());
      await make();
      await teardown.cleanup(claim(), host());
      expect(existsSync(path)).toBe(false);
    });

    it('is left alone, by name, when something else stands there', async () => {
      await make();
      const held = claim(await observePath(path));
      await rename(path, `${path}.kept`); // so that the inode is not given out again
      await writeFile(path, 'foreign');
      await expect(teardown.cleanup(held, host())).rejects.toMatchObject({
        code: 'FOREIGN_OBJECT',
        message: expect.stringContaining(path) as string,
      });
      expect(await readFile(path, 'utf8')).toBe('foreign');
    });

    it('is never outside of the capability’s own folder', async () => {
      const outside = join(world.folder, owned.nameOf(token));
      await writeFile(outside, 'foreign');
      const strayed = { ...claim(), identity: { ...owned.identity, path: outside } };
      await expect(teardown.cleanup(strayed, host())).rejects.toMatchObject({
        code: 'FOREIGN_OBJECT',
      });
      expect(existsSync(outside)).toBe(true);
    });

    it('is healthy while it is the same, and lost when it is gone or another', async () => {
      await make();
      const held = claim(await observePath(path));
      expect(await teardown.reconcile(held, host())).toBe('healthy');
      await rename(path, `${path}.kept`);
      expect(await teardown.reconcile(held, host())).toBe('lost');
      await make();
      expect(await teardown.reconcile(held, host())).toBe('lost');
    });

    it('is found without the database, and what is not ours is not', async () => {
      await make();
      await writeFile(join(world.directory(capability), 'notes.txt'), '');
      const found = await teardown.scan(host());
      expect(found.map((each) => each.token)).toEqual([token]);
      expect(found[0]?.description).toBe(path);
    });
  });
};
