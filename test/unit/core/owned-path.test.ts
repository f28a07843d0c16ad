import { lstat, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Host } from '../../../core/host/host.ts';
import {
  observePath,
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
} from '../../../core/host/owned-path.ts';
import { testHost } from '../../support/ledger.ts';
import { tempDir } from '../../support/temp-dir.ts';

const token = 'abcdefgh';

describe('a path that a claim owns', () => {
  let host: Host;
  let path: string;
  beforeEach(async () => {
    host = testHost(await tempDir());
    path = join(host.directory, `disk-${token}`);
  });

  const exists = (at: string): Promise<boolean> =>
    lstat(at).then(
      () => true,
      () => false,
    );
  const refused = { code: 'FOREIGN_OBJECT' };

  it('is removed by its name while it is an intent, by its inode once it is held', async () => {
    await mkdir(path);
    await writeFile(join(path, 'inside'), '');
    await removeOwnedPath(path, { token, observed: undefined }, host);
    expect(await exists(path)).toBe(false);
    await writeFile(path, '');
    const observed = await observePath(path);
    for (let times = 0; times < 2; times++) await removeOwnedPath(path, { token, observed }, host);
    expect(await exists(path)).toBe(false);
  });

  it('stays where the name lacks the token, and where it lies elsewhere', async () => {
    await writeFile(path, '');
    const other = { token: 'zzzzzzzz', observed: undefined };
    await expect(removeOwnedPath(path, other, host)).rejects.toMatchObject(refused);
    const elsewhere = { ...host, directory: await tempDir() };
    for (const observed of [undefined, await observePath(path)]) {
      await expect(removeOwnedPath(path, { token, observed }, elsewhere)).rejects.toMatchObject(
        refused,
      );
    }
    expect(await exists(path)).toBe(true);
  });

  it('is not another file in its place, nor a link to it', async () => {
    await writeFile(path, 'ours');
    const observed = await observePath(path);
    const moved = join(host.directory, 'moved');
    await rename(path, moved);
    expect(await reconcilePath(path, observed)).toBe('lost');
    for (const replace of [() => symlink(moved, path), () => writeFile(path, 'another’s')]) {
      await replace();
      expect(await reconcilePath(path, observed)).toBe('lost');
      await expect(removeOwnedPath(path, { token, observed }, host)).rejects.toMatchObject(refused);
      expect(await exists(path)).toBe(true);
      await rename(path, join(host.directory, 'away'));
    }
    expect(await readFile(moved, 'utf8')).toBe('ours');
    await rename(moved, path);
    expect(await reconcilePath(path, observed)).toBe('healthy');
  });

  it('goes as the link that it is, and what the link leads to stays', async () => {
    const target = join(host.directory, 'target');
    await mkdir(target);
    await writeFile(join(target, 'precious'), '');
    await symlink(target, path);
    await removeOwnedPath(path, { token, observed: undefined }, host);
    expect(await exists(path)).toBe(false);
    expect(await exists(join(target, 'precious'))).toBe(true);
  });

  it('is found by its name', async () => {
    const pattern = /^disk-([a-z2-7]+)$/;
    expect(await scanOwnedPaths(host, pattern)).toEqual([]);
    await writeFile(path, '');
    await writeFile(join(host.directory, 'unrelated'), '');
    expect(await scanOwnedPaths(host, pattern, (found) => ({ path: found }))).toEqual([
      { token, description: path, identity: { path } },
    ]);
    expect(await scanOwnedPaths({ ...host, directory: '/no/such' }, pattern)).toEqual([]);
  });
});
