import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linkFolder } from '../../../core/host/link-folder.ts';
import { noExecutor } from '../../support/ledger.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('linking a folder', () => {
  it('shares plain files, needs no command for it, and passes over all else', async () => {
    const root = await tempDir();
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    await mkdir(join(from, 'folder'), { recursive: true });
    await mkdir(to);
    await writeFile(join(from, 'a b'), 'content');
    await linkFolder(from, to, noExecutor);
    expect(await readdir(to)).toEqual(['a b']);
    expect((await stat(join(to, 'a b'))).ino).toBe((await stat(join(from, 'a b'))).ino);
    expect(await readFile(join(to, 'a b'), 'utf8')).toBe('content');
  });

  it('does not write over what is there', async () => {
    const root = await tempDir();
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    for (const [folder, content] of [
      [from, 'new'],
      [to, 'old'],
    ] as const) {
      await mkdir(folder);
      await writeFile(join(folder, 'file'), content);
    }
    await expect(linkFolder(from, to, noExecutor)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(join(to, 'file'), 'utf8')).toBe('old');
  });
});
