import { open, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../core/errors.ts';
import type { Cli } from '../cli.ts';
import { CliError, codeOf } from '../error.ts';

interface LogOptions {
  readonly follow?: boolean | undefined;
  /** Only the last ones. */
  readonly lines?: number | undefined;
}

/** inotify does not see every file system, and a guest's console changes all the time anyway. */
const pollMs = 200;
const chunkBytes = 64 * 1024;

/** Writes a file to standard output, and with `follow` what is added to it. */
export const printLog = async (
  cli: Cli,
  path: string,
  options: LogOptions,
  render: (chunk: Buffer) => string | Buffer,
): Promise<void> => {
  let at = 0;
  try {
    at = options.lines === undefined ? 0 : await offsetOfLastLines(path, options.lines);
    for (;;) {
      at = await copy(cli, path, at, render);
      if (options.follow !== true || cli.outBroken.aborted) return;
      await delay(pollMs);
      // A restart of the VM begins the file anew.
      if ((await stat(path)).size < at) at = 0;
    }
  } catch (error) {
    if (cli.outBroken.aborted) return;
    if (codeOf(error) === undefined) throw error;
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `cannot read ${path}: ${messageOf(error)}`,
      remedy: 'See whether that file is there and yours to read.',
    });
  }
};

/** @returns where the next reading goes on */
const copy = async (
  cli: Cli,
  path: string,
  from: number,
  render: (chunk: Buffer) => string | Buffer,
): Promise<number> => {
  const file = await open(path);
  try {
    let at = from;
    while (!cli.outBroken.aborted) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, at);
      if (bytesRead === 0) break;
      at += bytesRead;
      if (!process.stdout.write(render(buffer.subarray(0, bytesRead))))
        await once(process.stdout, 'drain', { signal: cli.outBroken });
    }
    return at;
  } finally {
    await file.close();
  }
};

/** Reads backwards, so that a long log costs no more than what is shown of it. */
const offsetOfLastLines = async (path: string, lines: number): Promise<number> => {
  const file = await open(path);
  try {
    let end = (await file.stat()).size;
    // The newline that ends the last line begins none.
    let left = lines + 1;
    const buffer = Buffer.alloc(chunkBytes);
    const last = end === 0 ? undefined : (await file.read(buffer, 0, 1, end - 1)).buffer[0];
    if (last !== 0x0a) left -= 1;
    while (end > 0) {
      const start = Math.max(0, end - chunkBytes);
      const { bytesRead } = await file.read(buffer, 0, end - start, start);
      for (let index = bytesRead - 1; index >= 0; index--) {
        if (buffer[index] === 0x0a && --left === 0) return start + index + 1;
      }
      end = start;
    }
    return 0;
  } finally {
    await file.close();
  }
};
