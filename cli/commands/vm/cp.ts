import { posix, resolve } from 'node:path';
import type { Accepted, CopyRequest, CopyResult } from '../../../core/api/contract/types.ts';
import { formatSize } from '../../../core/size.ts';
import { isVmName } from '../../../core/vm/name.ts';
import type { Cli } from '../../cli.ts';
import { usageError } from '../../error.ts';
import { follow } from '../../operation/follow.ts';

export interface CopyOptions {
  /** Bytes. */
  readonly limit?: number | undefined;
}

interface InVm {
  readonly vm: string;
  readonly path: string;
}

/** `NAME:PATH`; a file of the host's that has a colon in its name is written with a slash before it, as in `./a:b`. */
const inVm = (word: string): InVm | undefined => {
  const colon = word.indexOf(':');
  const vm = word.slice(0, colon);
  return colon > 0 && isVmName(vm) ? { vm, path: word.slice(colon + 1) } : undefined;
};

/** Relative to the home of root, where a login would be. */
const guestPath = (path: string): string => {
  const whole = posix.resolve('/root', path === '~' ? '.' : path.replace(/^~\//, ''));
  return path.endsWith('/') && whole !== '/' ? `${whole}/` : whole;
};

/** What a source is called, or nothing for `FOLDER/.`, which means what is in it. */
const nameOf = (source: string, whole: string): string | undefined =>
  source === '.' || source.endsWith('/.') || whole === '/' ? undefined : posix.basename(whole);

/** A target that ends in a slash is a folder, there or not; another one is if it is there. */
const target = (
  path: string,
  name: string | undefined,
): Pick<CopyRequest, 'name'> & { path: string } => {
  if (!path.endsWith('/')) return { path, name };
  return { path: name === undefined ? posix.resolve(path) : posix.join(path, name) };
};

/** @throws CliError for words that name no VM, or two */
export const copyRequestOf = (
  source: string,
  destination: string,
): { vm: string; body: CopyRequest } => {
  const [from, to] = [inVm(source), inVm(destination)];
  if (from !== undefined && to !== undefined)
    throw usageError(
      'both are in a VM',
      'Copy to the host first, then on: banger vm cp A:file . && banger vm cp file B:',
    );
  if (to !== undefined) {
    const host = resolve(source);
    const { path, name } = target(guestPath(to.path), nameOf(source, host));
    return { vm: to.vm, body: { direction: 'in', host, guest: path, name } };
  }
  if (from !== undefined) {
    const guest = posix.resolve(guestPath(from.path));
    const slash = destination.endsWith('/') && destination !== '/' ? '/' : '';
    const whole = `${resolve(destination)}${slash}`;
    const { path, name } = target(whole, nameOf(from.path, guest));
    return { vm: from.vm, body: { direction: 'out', host: path, guest, name } };
  }
  throw usageError(
    `neither '${source}' nor '${destination}' is in a VM`,
    'Write NAME:PATH for one of them, for example: banger vm cp notes.txt web:/root/.',
  );
};

export const copyFiles = async (
  cli: Cli,
  source: string,
  destination: string,
  { limit }: CopyOptions,
): Promise<void> => {
  const { vm, body } = copyRequestOf(source, destination);
  const { operation } = await cli.client.post<Accepted>(`/v1/vms/${vm}/copy`, {
    ...body,
    ...(limit === undefined ? {} : { limitBytes: limit }),
  });
  const { result } = await follow(cli, operation, {
    isCancellable: true,
    afterCancel: 'Files that were copied whole stay.',
  });
  const copied = result as CopyResult;
  if (cli.isJson) cli.json(copied);
  else if (!cli.isQuiet) {
    const files = copied.files === 1 ? '1 file' : `${String(copied.files)} files`;
    cli.say(`copied ${files}, ${formatSize(copied.bytes)}`);
  }
};
