import { constants, type Dirent } from 'node:fs';
import { lstat, mkdir, open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/**
 * A folder by its descriptor, and what is in it by one name: no one who swaps a folder on the way to it for a symlink
 * leads us elsewhere. Node has no openat(2); `/proc/self/fd/N/name` resolves just so (proc(5)).
 * Names are bytes, as they are for the kernel. None of the methods follows a symlink of that name.
 */
export class FolderHandle implements AsyncDisposable {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Follows symlinks on the way: whoever names the folder may. */
  static async open(path: string): Promise<FolderHandle> {
    return new FolderHandle(await open(path, O_RDONLY | O_DIRECTORY));
  }

  #at(name: Uint8Array): Buffer {
    return Buffer.concat([Buffer.from(`/proc/self/fd/${String(this.#handle.fd)}/`), name]);
  }

  async enter(name: Uint8Array): Promise<FolderHandle> {
    return new FolderHandle(await open(this.#at(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  entries(): Promise<Dirent<Buffer>[]> {
    const path = `/proc/self/fd/${String(this.#handle.fd)}/`;
    return readdir(path, { encoding: 'buffer', withFileTypes: true });
  }

  lstat(name: Uint8Array): Promise<Stats> {
    return lstat(this.#at(name));
  }

  readlink(name: Uint8Array): Promise<Buffer> {
    return readlink(this.#at(name), { encoding: 'buffer' });
  }

  /** Without O_NONBLOCK a FIFO that has taken a file's place would hold us. */
  openFile(name: Uint8Array): Promise<FileHandle> {
    return open(this.#at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }

  /** @throws EEXIST */
  createFile(name: Uint8Array, mode: number): Promise<FileHandle> {
    return open(this.#at(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  }

  /** @throws EEXIST */
  async makeFolder(name: Uint8Array, mode: number): Promise<void> {
    await mkdir(this.#at(name), { mode });
  }

  async makeSymlink(name: Uint8Array, target: Uint8Array): Promise<void> {
    await symlink(Buffer.from(target), this.#at(name));
  }

  /** Takes the place of whatever has the new name, a folder apart. */
  async rename(name: Uint8Array, to: Uint8Array): Promise<void> {
    await rename(this.#at(name), this.#at(to));
  }

  /** A file or symlink, if it is there. */
  async remove(name: Uint8Array): Promise<void> {
    await rm(this.#at(name), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
