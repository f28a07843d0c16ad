import type { FileHandle } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { realpath, stat } from 'node:fs/promises';
import { pack as newPack, type Header, type Pack } from 'tar-stream';
import { BangerError, codeOf, messageOf } from '../errors.ts';
import { FolderHandle } from './folder-handle.ts';
import { encodeNames, showName } from './names.ts';

type NewHeader = Partial<Header> & Pick<Header, 'name'>;

export interface TreeSize {
  readonly kind: 'file' | 'folder';
  /** Of all files. */
  readonly bytes: number;
}

export interface PackOptions {
  /** Of the file, where the tree is one; a folder's files keep their own. */
  readonly fileMode?: number;
  readonly signal: AbortSignal;
  /** A line about something that is left out. */
  onNote?(text: string): void;
  /** A file begins. */
  onFile?(): void;
  /** Bytes of files so far. */
  onBytes?(bytes: number): void;
}

const chunkBytes = 256 * 1024;
/** As in the guest; and each level holds a descriptor. */
const depthMax = 200;
/** The header's field for it; later times are not shown by any header that tar-stream writes. */
const latestMtime = 2 ** 31 - 1;

type Path = readonly Buffer[];

interface Found {
  readonly parent: FolderHandle;
  readonly path: Path;
  readonly name: Buffer;
}

/** All that is below a folder, each before what is in it. What went meanwhile was not there. */
async function* walk(parent: FolderHandle, path: Path): AsyncGenerator<Found & { stats: Stats }> {
  if (path.length > depthMax)
    throw new BangerError('INPUT_INVALID', `${showName(path)}: folders are too deep`);
  const entries = await parent.entries();
  // In one order, whatever the file system's: the same tree is the same tar.
  for (const { name } of entries.sort((a, b) => Buffer.compare(a.name, b.name))) {
    const here = [...path, name];
    const stats = await orGone(parent.lstat(name));
    if (stats === undefined) continue;
    yield { parent, path: here, name, stats };
    if (!stats.isDirectory()) continue;
    await using folder = await orGone(parent.enter(name));
    if (folder !== undefined) yield* walk(folder, here);
  }
}

const orGone = async <T>(work: Promise<T>): Promise<T | undefined> => {
  try {
    return await work;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
};

const explained = (path: string, error: unknown): unknown =>
  error instanceof BangerError
    ? error
    : new BangerError('INPUT_INVALID', `${path} cannot be read: ${messageOf(error)}`, {
        remedy: 'Make it readable to your user, or leave it out.',
        cause: error,
      });

/**
 * A symlink that `path` itself is leads on; those below are never followed.
 * @throws BangerError INPUT_INVALID for what is neither file nor folder, or not readable; ENOENT as it is
 */
export const measureTree = async (path: string): Promise<TreeSize> => {
  const stats = await stat(path);
  if (stats.isFile()) return { kind: 'file', bytes: stats.size };
  if (!stats.isDirectory())
    throw new BangerError('INPUT_INVALID', `${path} is neither a file nor a folder`);
  let bytes = 0;
  try {
    await using folder = await FolderHandle.open(path);
    for await (const { stats: each } of walk(folder, [])) if (each.isFile()) bytes += each.size;
  } catch (error) {
    throw explained(path, error);
  }
  return { kind: 'folder', bytes };
};

/** A tar of a file or folder for a guest: all of it is root's there. Its root is the first entry, `.`. */
export async function* packTree(path: string, options: PackOptions): AsyncGenerator<Uint8Array> {
  const pack = newPack();
  const filling = fill(pack, path, options).then(
    () => {
      pack.finalize();
    },
    (error: unknown) => {
      pack.destroy(explained(path, error) as Error);
    },
  );
  try {
    for await (const chunk of pack as AsyncIterable<Uint8Array>) yield chunk;
  } finally {
    pack.destroy();
    await filling;
  }
}

const fill = async (pack: Pack, path: string, options: PackOptions): Promise<void> => {
  const filler = new Filler(pack, options);
  const real = await realpath(resolve(path));
  const stats = await stat(real);
  if (!stats.isDirectory()) {
    await using parent = await FolderHandle.open(dirname(real));
    const name = Buffer.from(basename(real));
    await filler.file({ parent, path: [], name }, options.fileMode);
    return;
  }
  await using folder = await FolderHandle.open(real);
  await filler.entry({ type: 'directory', ...about(stats), ...encodeNames(Buffer.alloc(0)) });
  for await (const found of walk(folder, [])) await filler.any(found);
};

const about = (stats: Stats): Pick<Header, 'mode' | 'uid' | 'gid' | 'mtime'> => ({
  // tar-stream takes mode 0 for none; the bit above is cut off.
  mode: (stats.mode & 0o777) | 0o10000,
  uid: 0,
  gid: 0,
  mtime: new Date(Math.min(Math.max(Math.floor(stats.mtimeMs / 1000), 0), latestMtime) * 1000),
});

class Filler {
  readonly #pack: Pack;
  readonly #options: PackOptions;
  #bytes = 0;

  constructor(pack: Pack, options: PackOptions) {
    this.#pack = pack;
    this.#options = options;
  }

  /** An entry without data. */
  entry(header: NewHeader): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pack.entry(header, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  async any(found: Found & { stats: Stats }): Promise<void> {
    const { stats, path, parent, name } = found;
    this.#options.signal.throwIfAborted();
    if (stats.isFile()) await this.file(found);
    else if (stats.isDirectory())
      await this.entry({ type: 'directory', ...about(stats), ...encodeNames(joined(path)) });
    else if (stats.isSymbolicLink()) {
      const link = await orGone(parent.readlink(name));
      if (link === undefined) return;
      await this.entry({ type: 'symlink', ...about(stats), ...encodeNames(joined(path), link) });
    } else this.#options.onNote?.(`${showName(path)}: left out: neither file, folder nor symlink`);
  }

  async file({ parent, path, name }: Found, mode?: number): Promise<void> {
    const handle = await orGone(parent.openFile(name));
    if (handle === undefined) return;
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return;
      this.#options.onFile?.();
      const header: NewHeader = {
        type: 'file',
        size: stats.size,
        ...about(stats),
        ...(mode === undefined ? {} : { mode: mode | 0o10000 }),
        ...encodeNames(joined(path)),
      };
      await this.#content(header, handle, stats.size, path);
    } finally {
      await handle.close();
    }
  }

  /** Exactly `size` bytes, whatever becomes of the file meanwhile: the header has promised them. */
  async #content(header: NewHeader, handle: FileHandle, size: number, path: Path): Promise<void> {
    let entry: ReturnType<Pack['entry']> | undefined;
    const done = new Promise<void>((resolve, reject) => {
      entry = this.#pack.entry(header, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    const sending = this.#send(entry, handle, size, path);
    await Promise.all([done, sending]);
  }

  async #send(
    entry: ReturnType<Pack['entry']> | undefined,
    handle: FileHandle,
    size: number,
    path: Path,
  ): Promise<void> {
    if (entry === undefined) throw new Error('no entry was begun');
    for (let at = 0; at < size;) {
      this.#options.signal.throwIfAborted();
      const chunk = Buffer.alloc(Math.min(chunkBytes, size - at));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0)
        this.#options.onNote?.(`${showName(path)}: became shorter while it was read`);
      const sent = bytesRead === 0 ? chunk : chunk.subarray(0, bytesRead);
      if (!entry.write(sent)) await drained(entry);
      at += sent.length;
      this.#bytes += sent.length;
      this.#options.onBytes?.(this.#bytes);
    }
    entry.end(null);
  }
}

/** Ends as well when nobody reads the tar any more. */
const drained = (entry: ReturnType<Pack['entry']>): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      entry.off('drain', settle).off('close', settle);
      resolve();
    };
    entry.once('drain', settle).once('close', settle);
  });

const joined = (path: Path): Buffer =>
  Buffer.concat(path.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from('/'), part])));
