import { mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';
import { debugfsCat, debugfsScript, debugfsStat, type DebugfsChange } from './debugfs.ts';
import type { ImageRecipe } from './recipe.ts';

/** No package brings this one. */
const ownFolder = '/etc/banger';

/** As debugfs' changes, with a file's content in place of a file to read it from. */
export type ImageChange =
  | Exclude<DebugfsChange, { readonly kind: 'file' }>
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly content: string;
      readonly mode: number;
    };

/** banger's own files on top of the packages', folders first. */
export const changesOf = ({
  files,
  removed,
}: Pick<ImageRecipe, 'files' | 'removed'>): ImageChange[] => {
  const own = new Set(files.map(({ path }) => dirname(path)).filter((path) => path === ownFolder));
  return [
    ...[...own].map((path) => ({ kind: 'folder' as const, path, mode: 0o755 })),
    ...removed.map((path) => ({ kind: 'remove' as const, path })),
    ...files.map((file) => ({ kind: 'file' as const, ...file })),
  ];
};

const damaged = (what: string): BangerError => new BangerError('IMAGE_BUILD_FAILED', what);

/** Changes a file system that nobody has mounted, without mounting it, and looks whether it took. */
export const changeImage = async (
  image: string,
  changes: readonly ImageChange[],
  scratch: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  const folder = await mkdtemp(join(scratch, 'change-'));
  const commands: DebugfsChange[] = [];
  for (const [index, change] of changes.entries()) {
    if (change.kind !== 'file') {
      commands.push(change);
      continue;
    }
    const { path, content, mode } = change;
    const source = join(folder, `file-${String(index)}`);
    await writeFile(source, content);
    commands.push({ kind: 'file', path, mode, source });
  }
  const script = join(folder, 'debugfs.cmd');
  await writeFile(script, debugfsScript(commands));
  await exec.run('debugfs', ['-w', '-f', script, image], { signal });
  // debugfs goes on past a command that failed: what counts is what is there now.
  const { exitCode } = await exec.run('e2fsck', ['-fn', image], {
    signal,
    timeoutMs: 120_000,
    okCodes: [0, 1, 2, 4],
  });
  if (exitCode !== 0) throw damaged(`e2fsck finds the new image damaged (${String(exitCode)})`);
  for (const change of changes) {
    if (!(await isDone(change, image, exec, signal)))
      throw damaged(
        `debugfs did not do it: ${change.kind} ${'path' in change ? change.path : '/'}`,
      );
  }
};

const isDone = async (
  change: ImageChange,
  image: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<boolean> => {
  const ask = async (command: string): Promise<string> =>
    (await exec.run('debugfs', ['-R', command, image], { signal })).stdout;
  const info = await ask(change.kind === 'root' ? 'stat /' : debugfsStat(change.path));
  if (change.kind === 'remove') return !info.startsWith('Inode:');
  const mode = /Mode: +(0\d+)/.exec(info)?.[1];
  if (mode === undefined || parseInt(mode, 8) !== change.mode) return false;
  return change.kind !== 'file' || (await ask(debugfsCat(change.path))) === change.content;
};
