import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** How long what a guest said last may take to its console's log, milliseconds. */
const consoleMs = 500;
/** A panic's report is some kilobytes; the line that we look for is at its beginning. */
const tailBytes = 64 * 1024;
const pollMs = 50;
const reasonMax = 200;

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

const readEnd = async (path: string): Promise<string> => {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - tailBytes);
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(size - start),
      0,
      size - start,
      start,
    );
    return buffer.subarray(0, bytesRead).toString('latin1');
  } finally {
    await file.close();
  }
};

/**
 * Why the guest's kernel has panicked, as its console tells, or undefined. The guest can write what it likes there: it
 * says so of itself alone.
 * @param path of the console's log, which begins anew with each run
 */
export const readPanic = async (path: string): Promise<string | undefined> => {
  const end = performance.now() + consoleMs;
  for (;;) {
    const text = await readEnd(path).catch((error: unknown) => {
      if (isAbsent(error)) return '';
      throw error;
    });
    const reason = /Kernel panic - not syncing: ?([\x20-\x7e]*)/.exec(text)?.[1];
    if (reason !== undefined) return reason.trim().slice(0, reasonMax);
    if (performance.now() > end) return undefined;
    await delay(pollMs);
  }
};
