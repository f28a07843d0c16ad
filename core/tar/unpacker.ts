import { rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Extract, Header } from 'tar-stream';
import { BangerError, toBangerError } from '../errors.ts';
import { newToken } from '../token.ts';
import { FolderHandle } from './folder-handle.ts';
import { decodeLink, decodeName, decodeTotal, showName } from './names.ts';
import type { Unpacked, UnpackOptions } from './unpack-options.ts';
import {
  folderMode,
  leadsOut,
  lstatOrAbsent,
  makeFolder,
  modeMask,
  openParent,
  targetOf,
} from './unpack-places.ts';

type Entry = Extract extends AsyncIterable<infer T> ? T : never;

/** Each takes an inode and time; a guest may send any number. */
const entriesMax = 1_000_000;

const hostile = (what: string): BangerError =>
  new BangerError('GUEST_FAILED', `the guest sends a tar that is not taken: ${what}`, {
    remedy: 'Nothing of it was written outside of the target. See what runs in that guest.',
  });

/** tar-stream's errors are about what it was given, the system's about where it goes. */
const told = (error: unknown, target: string): BangerError => {
  const known = toBangerError(error);
  if (known.code !== 'INTERNAL') return known;
  if (!(error instanceof Error && 'code' in error)) return hostile(known.message);
  return new BangerError('INPUT_INVALID', `${target} cannot be written: ${String(error.code)}`, {
    remedy: 'Copy to a place where your user may write.',
    cause: error,
  });
};

/** Takes the entries of one tar as they come out of tar-stream. */
export class Unpacker {
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
      throw told(error, this.#target);
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
    this.#target = await targetOf(this.#options.path, this.#options.name);
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
