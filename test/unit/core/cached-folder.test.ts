import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deadlineSignal } from '../../../core/deadline.ts';
import { ensureCachedFolder, removeCachedFolder } from '../../../core/host/cached-folder.ts';
import { lockExclusively } from '../../../core/host/helpers-lock.ts';
import { tempDir } from '../../support/temp-dir.ts';

const options = { signal: new AbortController().signal };

const put =
  (content: string) =>
  async (folder: string, scratch: string): Promise<void> => {
    expect(await readdir(scratch)).toEqual([]);
    await writeFile(join(scratch, 'temporary'), 'x');
    await writeFile(join(folder, 'file'), content);
  };

const removeTree = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

const never = (): Promise<never> => Promise.reject(new Error('built once more'));

/** What is there besides locks, which stay. */
const entries = async (root: string): Promise<string[]> =>
  (await readdir(root)).filter((name) => !name.endsWith('.lock')).sort();

describe('a cached folder', () => {
  it('is built where it is absent, and found from then on', async () => {
    const root = join(await tempDir(), 'not', 'yet');
    const first = await ensureCachedFolder(root, 'key', put('one'), options);
    expect(first).toEqual({ path: join(root, 'key'), built: true });
    expect(await readFile(join(first.path, 'file'), 'utf8')).toBe('one');
    expect(await ensureCachedFolder(root, 'key', never, options)).toEqual({
      path: first.path,
      built: false,
    });
    expect(await entries(root)).toEqual(['key']);
  });

  it('is built once where several ask at once, and they hear that they wait', async () => {
    const root = await tempDir();
    let builds = 0;
    let waits = 0;
    const asked = Array.from({ length: 4 }, () =>
      ensureCachedFolder(
        root,
        'key',
        async (folder, scratch) => {
          builds++;
          await put('x')(folder, scratch);
        },
        { ...options, onWait: () => waits++ },
      ),
    );
    expect((await Promise.all(asked)).filter(({ built }) => built)).toHaveLength(1);
    expect(builds).toBe(1);
    expect(waits).toBe(3);
  });

  it('is nothing at all after a build that failed, and built by the next', async () => {
    const root = await tempDir();
    const fail = async (folder: string): Promise<void> => {
      await writeFile(join(folder, 'file'), 'half');
      throw new Error('no space');
    };
    await expect(ensureCachedFolder(root, 'key', fail, options)).rejects.toThrow('no space');
    expect(await entries(root)).toEqual([]);
    expect((await ensureCachedFolder(root, 'key', put('x'), options)).built).toBe(true);
  });

  it('sweeps what killed builds left, its own and others’, save of those under way', async () => {
    const root = await tempDir();
    for (const name of ['key.partial', 'key.scratch', 'old.partial', 'old.scratch', 'busy.partial'])
      await mkdir(join(root, name, 'tree'), { recursive: true });
    await mkdir(join(root, 'done'));
    const busy = await lockExclusively(join(root, 'busy.lock'));
    const removed: string[] = [];
    await ensureCachedFolder(root, 'key', put('x'), {
      ...options,
      removeTree: async (path) => {
        removed.push(path.slice(root.length + 1));
        await removeTree(path);
      },
    });
    expect(await entries(root)).toEqual(['busy.partial', 'done', 'key']);
    // Distributions' files have owners that need their own means of removal.
    expect([...removed].sort()).toEqual(
      ['key.partial', 'key.scratch', 'key.scratch', 'old.partial', 'old.scratch'].sort(),
    );
    await busy?.close();
  });

  it.each([
    ['has no manifest', (path: string) => writeFile(join(path, 'manifest.json'), '')],
    ['has another’s manifest', (path: string) => writeFile(join(path, 'manifest.json'), '{"a":1}')],
    ['lost a byte', (path: string) => truncate(join(path, 'file'), 1)],
    ['lost a file', (path: string) => removeTree(join(path, 'file'))],
    [
      'became a file',
      async (path: string) => {
        await removeTree(path);
        await writeFile(path, '');
      },
    ],
  ])('is built anew when it %s', async (_what, damage) => {
    const root = await tempDir();
    const { path } = await ensureCachedFolder(root, 'key', put('one'), options);
    await damage(path);
    expect((await ensureCachedFolder(root, 'key', put('two'), options)).built).toBe(true);
    expect(await readFile(join(path, 'file'), 'utf8')).toBe('two');
  });

  it('gives up waiting when it is told to, and frees its lock whatever comes', async () => {
    const root = await tempDir();
    const lock = await lockExclusively(join(root, 'key.lock'));
    const signal = deadlineSignal(20);
    await expect(ensureCachedFolder(root, 'key', put('x'), { signal })).rejects.toThrow();
    await lock?.close();
    const stubborn = (): Promise<void> => Promise.reject(new Error('cannot remove'));
    await expect(
      ensureCachedFolder(root, 'key', put('x'), { ...options, removeTree: stubborn }),
    ).rejects.toThrow('cannot remove');
    const free = await lockExclusively(join(root, 'key.lock'));
    expect(free).toBeDefined();
    await free?.close();
  });

  it('is removed once nobody builds it, and that it is absent is no harm', async () => {
    const root = await tempDir();
    await ensureCachedFolder(root, 'key', put('x'), options);
    for (let times = 0; times < 2; times++) await removeCachedFolder(root, 'key', options);
    expect(await entries(root)).toEqual([]);
  });
});
