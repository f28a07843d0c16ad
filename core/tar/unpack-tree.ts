import type { Stats } from 'node:fs';
import { lstat, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { extract as newExtract, type Extract, type Header } from 'tar-stream';
import { BangerError, toBangerError } from '../errors.ts';
import { formatSize } from '../size.ts';
import { newToken } from '../token.ts';
import { FolderHandle } from './folder-handle.ts';
import { decodeLink, decodeName, decodeTotal, showName } from './names.ts';

type Entry = Extract extends AsyncIterable<infer T> ? T : never;

export interface UnpackOptions {
  /** Absolute. */
  readonly path: string;
  /** Where `path` is a folder already, its entry of this name is meant. */
  readonly name?: string | undefined;
  /** The most that is taken: bytes of the tar, its headers with it. */
  readonly limitBytes: number;
  /** `total` where the tar has told it. */
  onBytes?(bytes: number, total: number | undefined): void;
  onNote?(text: string): void;
}

export interface Unpacked {
  readonly path: string;
  readonly kind: 'file' | 'folder';
  readonly files: number;
  readonly bytes: number;
}

/** A tar that comes from a guest, and so from anybody, as it comes. */
export interface Unpacking {
  /** Resolves when there is room for more. */
  write(chunk: Uint8Array): Promise<void>;
  /** @throws BangerError GUEST_FAILED for what no agent of ours sends, DISK_FULL, INPUT_INVALID */
  end(): Promise<Unpacked>;
  /** Takes back what was begun: a file, or a folder that was not there before. */
  abandon(): Promise<void>;
}

/** Each takes an inode and time; a guest may send any number. */
const entriesMax = 1_000_000;
/** Never setuid, setgid or sticky; the umask applies. */
const modeMask = 0o777;

/**
 * Unpacks beside the target and renames, so that a file is there whole or not at all; so is a folder that was not there.
 * One that is there gets what comes, file by file. No symlink is followed below the target, none that comes and none
 * that was there.
 */
export const unpackTree = (options: UnpackOptions): Unpacking => {
  const extract = newExtract();
  const unpacker = new Unpacker(extract, options);
  let received = 0;
  const done = unpacker.run();
  // Whoever writes or ends is told of it.
  done.catch(() => undefined);
  return {
    write: async (chunk) => {
      received += chunk.length;
      if (received > options.limitBytes)
        throw new BangerError(
          'GUEST_FAILED',
          `the guest sends more than ${formatSize(options.limitBytes)}`,
          { remedy: 'Allow more with --limit, if that is what you want to have.' },
        );
      if (extract.destroyed) await done;
      if (!extract.write(chunk)) await Promise.race([drained(extract), done]);
    },
    end: async () => {
      extract.end(null);
      return await done;
    },
    abandon: async () => {
      extract.destroy();
      await done.catch(() => undefined);
      await unpacker.takeBack();
    },
  };
};

const drained = (extract: Extract): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      extract.off('drain', settle).off('close', settle);
      resolve();
    };
    extract.once('drain', settle).once('close', settle);
  });

const hostile = (what: string): BangerError =>
  new BangerError('GUEST_FAILED', `the guest sends a tar that is not taken: ${what}`, {
    remedy: 'Nothing of it was written outside of the target. See what runs in that guest.',
  });

class Unpacker {
  readonly #extract: Extract;
  readonly #options: UnpackOptions;
  /** What is renamed to the target at the end, or removed. */
  #temp: string | undefined;
  #target = '';
  #root: FolderHandle | undefined;
  /** The folder of the last entry: they come folder by folder. */
  #folder: { readonly path: string; readonly handle: FolderHandle } | undefined;
  #files = 0;
  #bytes = 0;
  #entries = 0;
  #total: number | undefined;
  /** Symlinks that lead out of the folder. */
  #outward: { readonly first: string; count: number } | undefined;
  #kind: Unpacked['kind'] | undefined;

  constructor(extract: Extract, options: UnpackOptions) {
    this.#extract = extract;
    this.#options = options;
  }

  async run(): Promise<Unpacked> {
    try {
      // Nothing is awaited before: an entry that comes while nobody listens is lost.
      for await (const entry of this.#extract) {
        await this.#entry(entry);
        // What has no data, too, has to be read to its end.
        entry.resume();
      }
      if (this.#kind === undefined) throw hostile('it is empty');
      await this.#closeFolders();
      if (this.#temp !== undefined) await rename(this.#temp, this.#target);
      this.#temp = undefined;
      this.#warnOfLinks();
    } catch (error) {
      await this.takeBack();
      this.#extract.destroy();
      throw told(error);
    }
    const { path, files, bytes } = { path: this.#target, files: this.#files, bytes: this.#bytes };
    return { path, kind: this.#kind, files, bytes };
  }

  #noteOutward(name: string): void {
    if (this.#outward === undefined) this.#outward = { first: name, count: 1 };
    else this.#outward.count += 1;
  }

  #warnOfLinks(): void {
    if (this.#outward === undefined) return;
    const { first, count } = this.#outward;
    this.#options.onNote?.(
      count === 1
        ? `${first} is a symlink that leads out of the folder`
        : `${String(count)} symlinks lead out of the folder, ${first} for one`,
    );
  }

  async takeBack(): Promise<void> {
    await this.#closeFolders();
    const temp = this.#temp;
    this.#temp = undefined;
    if (temp !== undefined) await rm(temp, { recursive: true, force: true });
  }

  async #closeFolders(): Promise<void> {
    const [root, folder] = [this.#root, this.#folder?.handle];
    this.#root = this.#folder = undefined;
    await root?.[Symbol.asyncDispose]();
    if (folder !== root) await folder?.[Symbol.asyncDispose]();
  }

  async #entry(entry: Entry): Promise<void> {
    const { header } = entry;
    this.#entries += 1;
    if (this.#entries > entriesMax) throw hostile(`more than ${String(entriesMax)} entries`);
    // tar-stream waits for ever for the end of a file whose size is no number (base 256 of an odd first byte).
    if (!Number.isSafeInteger(header.size)) throw hostile('a size in it is no number');
    const path = decodeName(header);
    if (path === undefined) throw hostile('a name in it leads out of the folder, or is none');
    if (this.#kind === undefined) {
      if (path.length > 0) throw hostile('it does not begin with its root');
      this.#total = decodeTotal(header);
      await this.#begin(header, entry);
    } else await this.#below(path, header, entry);
  }

  async #begin(header: Header, entry: Entry): Promise<void> {
    this.#target = await targetOf(this.#options);
    const parent = dirname(this.#target);
    const temp = `.${basename(this.#target).slice(0, 200)}.bgr-${newToken(8)}`;
    const there = await lstatOrAbsent(this.#target);
    if (header.type === 'file') {
      if (there?.isDirectory() === true)
        throw new BangerError('INPUT_INVALID', `${this.#target} is a folder`);
      this.#kind = 'file';
      await using folder = await openParent(parent);
      this.#temp = join(parent, temp);
      await this.#write(folder, Buffer.from(temp), header, entry);
      return;
    }
    if (header.type !== 'directory') throw hostile('its root is neither file nor folder');
    this.#kind = 'folder';
    if (there === undefined) {
      await using folder = await openParent(parent);
      await folder.makeFolder(Buffer.from(temp), folderMode(header));
      this.#temp = join(parent, temp);
      this.#root = await folder.enter(Buffer.from(temp));
    } else {
      // The user's own way there, symlinks and all.
      if (!(await stat(this.#target)).isDirectory())
        throw new BangerError('INPUT_INVALID', `${this.#target} is there, and is no folder`);
      this.#root = await FolderHandle.open(this.#target);
    }
    this.#folder = { path: '', handle: this.#root };
  }

  async #below(path: readonly Buffer[], header: Header, entry: Entry): Promise<void> {
    const name = path.at(-1);
    if (name === undefined) throw hostile('it has its root twice');
    if (this.#root === undefined) throw hostile('there is something below a file');
    const folder = await this.#enter(this.#root, path.slice(0, -1));
    if (header.type === 'directory') {
      const made = await makeFolder(folder, name, folderMode(header), path);
      await made[Symbol.asyncDispose]();
    } else if (header.type === 'file') await this.#replace(folder, name, header, entry);
    else if (header.type === 'symlink') await this.#link(folder, path, header);
    else throw hostile(`${showName(path)} is of a kind that is not taken`);
  }

  async #enter(root: FolderHandle, parts: readonly Buffer[]): Promise<FolderHandle> {
    const path = parts.map((part) => part.toString('hex')).join('/');
    if (this.#folder?.path === path) return this.#folder.handle;
    let handle = root;
    for (const [at, part] of parts.entries()) {
      const above = handle;
      try {
        handle = await makeFolder(above, part, 0o755, parts.slice(0, at + 1));
      } finally {
        if (above !== root) await above[Symbol.asyncDispose]();
      }
    }
    const before = this.#folder?.handle;
    this.#folder = { path, handle };
    if (before !== root) await before?.[Symbol.asyncDispose]();
    return handle;
  }

  /** Written beside its name: a copy that breaks off leaves the file that was there. */
  async #replace(folder: FolderHandle, name: Buffer, header: Header, entry: Entry): Promise<void> {
    const temp = Buffer.from(`.bgr-${newToken(8)}`);
    try {
      await this.#write(folder, temp, header, entry);
      await folder.rename(temp, name);
    } catch (error) {
      await folder.remove(temp);
      throw error;
    }
  }

  async #write(folder: FolderHandle, name: Buffer, header: Header, entry: Entry): Promise<void> {
    const handle = await folder.createFile(name, header.mode & modeMask);
    try {
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        await handle.writeFile(chunk);
        this.#bytes += chunk.length;
        this.#options.onBytes?.(this.#bytes, this.#total);
      }
      if (Number.isFinite(header.mtime.getTime())) await handle.utimes(header.mtime, header.mtime);
    } finally {
      await handle.close();
    }
    this.#files += 1;
  }

  async #link(folder: FolderHandle, path: readonly Buffer[], header: Header): Promise<void> {
    const target = decodeLink(header);
    const name = path.at(-1);
    if (target === undefined || name === undefined) throw hostile('a symlink in it leads nowhere');
    if (leadsOut(path, target.toString('latin1'))) this.#noteOutward(showName(path));
    const temp = Buffer.from(`.bgr-${newToken(8)}`);
    try {
      await folder.makeSymlink(temp, target);
      await folder.rename(temp, name);
    } catch (error) {
      await folder.remove(temp);
      throw error;
    }
  }
}

/** Ours to fill while we do, whatever its mode in the guest. */
const folderMode = (header: Header): number => (header.mode & modeMask) | 0o700;

const leadsOut = (path: readonly Buffer[], target: string): boolean => {
  if (target.startsWith('/')) return true;
  let depth = path.length - 1;
  for (const part of target.split('/')) {
    if (part === '..') depth -= 1;
    else if (part !== '' && part !== '.') depth += 1;
    if (depth < 0) return true;
  }
  return false;
};

const makeFolder = async (
  above: FolderHandle,
  name: Buffer,
  mode: number,
  path: readonly Buffer[],
): Promise<FolderHandle> => {
  try {
    await above.makeFolder(name, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    return await above.enter(name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    throw new BangerError('INPUT_INVALID', `${showName(path)} is there, and is no folder`, {
      remedy: 'Remove it, or copy to another place; symlinks are not followed.',
    });
  }
};

const lstatOrAbsent = async (path: string): Promise<Stats | undefined> => {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const targetOf = async ({ path, name }: UnpackOptions): Promise<string> => {
  if (name === undefined) return path;
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  return isFolder ? join(path, name) : path;
};

const openParent = async (path: string): Promise<FolderHandle> => {
  try {
    return await FolderHandle.open(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new BangerError('INPUT_INVALID', `there is no folder ${path}`, {
      remedy: 'Make it first, or copy to another place.',
    });
  }
};

/** tar-stream's errors are about what it was given. */
const told = (error: unknown): unknown => {
  const known = toBangerError(error);
  const isTar = known.code === 'INTERNAL' && !(error instanceof Error && 'code' in error);
  return isTar ? hostile(known.message) : known;
};
