import { mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { lines, lookInto } from './git.ts';
import type { Executor } from '../../core/plugin-api/index.ts';
import type { Repository } from './repository.ts';
import type { View } from './view.ts';

/** Names of what the guest begins with, in the view. */
export const refs = {
  base: 'refs/banger/base',
  index: 'refs/banger/index',
  tree: 'refs/banger/tree',
  /** What host and guest had in common last: what went in, or what was pulled. */
  shared: 'refs/banger/shared',
} as const;

/** Written as a file: one process less, and nobody else is in there. */
export const writeRef = async (view: View, name: string, id: string): Promise<void> => {
  await mkdir(dirname(join(view.gitDir, name)), { recursive: true });
  await writeFile(join(view.gitDir, name), `${id}\n`);
};

export const commitTree = async (
  view: View,
  tree: string,
  parent: string | null,
  signal: AbortSignal,
): Promise<string> =>
  (
    await view.git(
      ['commit-tree', ...(parent === null ? [] : ['-p', parent]), '-m', 'banger workspace', tree],
      { signal },
    )
  ).stdout.trim();

/** From here on history is not told, as in a shallow clone. */
export const cutHistoryAt = async (view: View, commit: string): Promise<void> => {
  await writeFile(join(view.gitDir, 'shallow'), `${commit}\n`);
};

export interface Ref {
  readonly name: string;
  readonly id: string;
}

/** Branches, tags and remote-tracking branches. */
export const listRefs = async (
  exec: Executor,
  { top }: Repository,
  signal: AbortSignal,
): Promise<Ref[]> =>
  lines(
    await lookInto(
      exec,
      top,
      [
        'for-each-ref',
        '--format=%(objectname) %(refname)',
        ...['refs/heads', 'refs/tags', 'refs/remotes'],
      ],
      { signal },
    ),
  ).flatMap((line) => {
    const [, id, name] = /^([0-9a-f]+) (refs\/.+)$/.exec(line) ?? [];
    // Symbolic, or no UTF-8, which a file of text cannot name.
    return id === undefined || name === undefined || name.includes('\ufffd') ? [] : [{ id, name }];
  });

export const writePackedRefs = async (view: View, all: readonly Ref[]): Promise<void> => {
  await writeFile(
    join(view.gitDir, 'packed-refs'),
    all.map(({ id, name }) => `${id} ${name}\n`).join(''),
  );
};

export interface Pack {
  readonly bytes: number;
  chunks(): AsyncIterable<Buffer>;
  remove(): Promise<void>;
}

/** The end of a bundle's header (gitformat-bundle(5)) is an empty line; ours has a line a ref. */
const packOffset = async (path: string): Promise<number> => {
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.alloc(65_536);
    for (let at = 0, tail = Buffer.alloc(0); ;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) throw new Error(`${path} is not a bundle`);
      const text = Buffer.concat([tail, chunk.subarray(0, bytesRead)]);
      const end = text.indexOf('\n\nPACK');
      if (end !== -1) return at - tail.length + end + 2;
      at += bytesRead;
      tail = text.subarray(-8);
    }
  } finally {
    await file.close();
  }
};

/** All that the view's refs lead to, as one pack. By `bundle`, which takes its list from the refs and no stdin. */
export const packAll = async (view: View, signal: AbortSignal): Promise<Pack> => {
  const path = join(view.gitDir, 'bundle');
  await view.git(['bundle', 'create', '--quiet', path, '--all'], { signal });
  const start = await packOffset(path);
  return {
    bytes: (await stat(path)).size - start,
    chunks: () => createReadStream(path, { start }) as AsyncIterable<Buffer>,
    remove: () => rm(path, { force: true }),
  };
};
