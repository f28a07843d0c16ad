import { open, stat, type FileHandle } from 'node:fs/promises';
import { codeOf } from '../error.ts';

const chunkBytes = 64 * 1024;

/**
 * A log on this host that may be moved to `….1`, and begun anew, at any time: by the writer that keeps it small, or by the
 * next run. What was open stays open until all of it is read.
 */
export class LogFile {
  readonly #path: string;
  #file: FileHandle;
  #at = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async open(path: string): Promise<LogFile> {
    return new LogFile(path, await open(path));
  }

  /** Moves to where the last lines begin. @returns how many of them are not in here */
  async seekLastLines(lines: number): Promise<number> {
    const { at, missing } = await beginningOfLast(this.#file, lines);
    this.#at = at;
    return missing;
  }

  /** All from here on to the end. */
  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const buffer = Buffer.alloc(chunkBytes);
      const { bytesRead } = await this.#file.read(buffer, 0, chunkBytes, this.#at);
      if (bytesRead === 0) return;
      this.#at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** What has come since, in this file and in the one that has taken its place. */
  async *readOn(): AsyncGenerator<Buffer> {
    // First whose name it is, then the rest: after that nobody writes to the old one any more.
    const replaced = await this.#isReplaced();
    yield* this.read();
    if (replaced) {
      await this.#file.close();
      this.#file = await open(this.#path);
      this.#at = 0;
      yield* this.read();
    } else if ((await this.#file.stat()).size < this.#at) {
      this.#at = 0;
      yield* this.read();
    }
  }

  async #isReplaced(): Promise<boolean> {
    try {
      const [now, ours] = await Promise.all([stat(this.#path), this.#file.stat()]);
      return now.ino !== ours.ino || now.dev !== ours.dev;
    } catch (error) {
      // Just moved away; the new one comes.
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Reads backwards, so that a long log costs no more than what is shown of it. */
const beginningOfLast = async (
  file: FileHandle,
  lines: number,
): Promise<{ at: number; missing: number }> => {
  let end = (await file.stat()).size;
  if (end === 0) return { at: 0, missing: lines };
  // The newline that ends the last line begins none.
  let left = lines + 1;
  const buffer = Buffer.alloc(chunkBytes);
  const last = (await file.read(buffer, 0, 1, end - 1)).buffer[0];
  if (last !== 0x0a) left -= 1;
  while (end > 0) {
    const start = Math.max(0, end - chunkBytes);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      if (buffer[index] === 0x0a && --left === 0) return { at: start + index + 1, missing: 0 };
    }
    end = start;
  }
  return { at: 0, missing: left - 1 };
};
