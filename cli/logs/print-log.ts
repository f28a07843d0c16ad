import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../core/errors.ts';
import type { Cli } from '../cli.ts';
import { CliError, codeOf } from '../error.ts';
import { untilInterrupted } from '../interrupt.ts';
import { LogFile } from './log-file.ts';

interface LogOptions {
  readonly follow?: boolean | undefined;
  /** Only the last ones. */
  readonly lines?: number | undefined;
}

/** inotify does not see every file system, and a guest's console changes all the time anyway. */
const pollMs = 200;

/**
 * Writes a log to standard output, the part before the last one (`….1`) first, and with `follow` what is added to it,
 * until ^C.
 */
export const printLog = async (
  cli: Cli,
  path: string,
  options: LogOptions,
  render: (chunk: Buffer) => string | Buffer,
): Promise<void> => {
  let file: LogFile | undefined;
  const write = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      if (cli.outBroken.aborted) return;
      if (!process.stdout.write(render(chunk)))
        await once(process.stdout, 'drain', { signal: cli.outBroken });
    }
  };
  try {
    const log = await LogFile.open(path);
    file = log;
    const missing =
      options.lines === undefined ? undefined : await log.seekLastLines(options.lines);
    if (missing !== 0) await writeOlder(`${path}.1`, missing, write);
    await write(log.read());
    if (options.follow !== true) return;
    await untilInterrupted(cli, async (signal) => {
      for (;;) {
        await delay(pollMs, undefined, { signal });
        await write(log.readOn());
      }
    });
  } catch (error) {
    if (cli.outBroken.aborted) return;
    if (codeOf(error) === undefined) throw error;
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `cannot read ${path}: ${messageOf(error)}`,
      remedy: 'See whether that file is there and yours to read.',
    });
  } finally {
    await file?.close();
  }
};

const writeOlder = async (
  path: string,
  lines: number | undefined,
  write: (chunks: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> => {
  let file: LogFile;
  try {
    file = await LogFile.open(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (lines !== undefined) await file.seekLastLines(lines);
    await write(file.read());
  } finally {
    await file.close();
  }
};
