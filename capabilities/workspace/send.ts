import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatSize, type Guest, type OperationContext } from '../../core/plugin-api/index.ts';
import type { Contents } from './contents.ts';
import { unpackScript } from './guest-scripts.ts';
import { packAll } from './pack.ts';
import type { Repository } from './repository.ts';
import { runInGuest } from './run-in-guest.ts';
import type { View } from './view.ts';

/** What the unpacking script says is for nobody. */
const maxOutput = 65_536;

export interface Destination {
  readonly guest: Guest;
  readonly vmName: string;
  readonly guestPath: string;
}

/** Packs what the view's refs lead to, and makes a repository of it in the guest. @returns bytes sent */
export const send = async (
  view: View,
  { repository, base, branch, submodules }: Contents,
  commits: { readonly index: string; readonly tree: string },
  { guest, vmName, guestPath }: Destination,
  operation: Pick<OperationContext, 'signal' | 'progress'>,
): Promise<number> => {
  const { signal } = operation;
  operation.progress({ text: `packing ${repository.top}` });
  const pack = await packAll(view, signal);
  try {
    const preface = Buffer.from(
      [
        ...(await shallowLines(view)),
        ...(await refLines(view)),
        ...submodules.map(({ path }) => `submodule ${path}`),
        ...configLines(repository),
        'pack',
      ]
        .map((line) => `${line}\n`)
        .join(''),
    );
    const input = async function* (): AsyncGenerator<Uint8Array> {
      yield preface;
      let sent = 0;
      for await (const chunk of pack.chunks()) {
        yield chunk;
        sent += chunk.length;
        const text = `sending ${formatSize(pack.bytes)} to ${guestPath}`;
        operation.progress({ text, fraction: sent / pack.bytes });
      }
    };
    await runInGuest(
      guest,
      vmName,
      unpackScript,
      [guestPath, branch ?? '', base ?? '', commits.index, commits.tree, repository.format],
      { signal, input: input(), maxOutput },
    );
    return preface.length + pack.bytes;
  } finally {
    await pack.remove();
  }
};

const linesOf = async (path: string): Promise<string[]> => {
  try {
    return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
};

const shallowLines = async ({ gitDir }: View): Promise<string[]> =>
  (await linesOf(join(gitDir, 'shallow')))
    .filter((line) => /^[0-9a-f]{40,64}$/.test(line))
    .map((id) => `shallow ${id}`);

const refLines = async ({ gitDir }: View): Promise<string[]> =>
  (await linesOf(join(gitDir, 'packed-refs'))).map((ref) => `ref ${ref}`);

/** So that commits in the guest are the user's, and remotes have their names. No secret goes along. */
const configLines = ({ settings }: Repository): string[] =>
  [...settings].flatMap(([key, value]) => {
    const isPlain = !/[\s]/.test(key) && !/[\n\r]/.test(value) && value !== '';
    if (!isPlain) return [];
    if (key === 'user.name' || key === 'user.email') return [`config ${key} ${value}`];
    const remote = /^remote\.(.+)\.url$/.exec(key)?.[1];
    const url = remote === undefined ? undefined : publicUrl(value);
    if (remote === undefined || url === undefined) return [];
    return [
      `config ${key} ${url}`,
      `config remote.${remote}.fetch +refs/heads/*:refs/remotes/${remote}/*`,
    ];
  });

/** Without what it may have of a password. Undefined for a path, which leads nowhere in the guest. */
export const publicUrl = (url: string): string | undefined => {
  if (/^(file:|[./~])/.test(url)) return undefined;
  return url
    .replace(/^(https?:\/\/)[^/@]*@/i, '$1')
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/@:]*):[^/@]*@/i, '$1@');
};
