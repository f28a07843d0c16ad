import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';

/** Everything below a folder by its name, as one could compare it: kind, mode, content. */
export const treeOf = async (
  folder: string | Buffer,
  prefix = '',
): Promise<Record<string, string>> => {
  const tree: Record<string, string> = {};
  for (const name of await readdir(folder, { encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(folder), Buffer.from('/'), name]);
    const key = `${prefix}${name.toString('latin1')}`;
    const stats = await lstat(path);
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isSymbolicLink())
      tree[key] = `link ${(await readlink(path, { encoding: 'buffer' })).toString('latin1')}`;
    else if (stats.isDirectory()) {
      tree[key] = `folder ${mode}`;
      Object.assign(tree, await treeOf(path, `${key}/`));
    } else {
      const content = createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
      tree[key] = `file ${mode} ${content}`;
    }
  }
  return tree;
};
