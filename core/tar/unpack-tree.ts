import { extract as newExtract, type Extract } from 'tar-stream';
import { BangerError } from '../errors.ts';
import { formatSize } from '../size.ts';
import type { Unpacked, UnpackOptions } from './unpack-options.ts';
import { Unpacker } from './unpacker.ts';

/** A tar that comes from a guest, and so from anybody, as it comes. */
export interface Unpacking {
  /** Resolves when there is room for more. */
  write(chunk: Uint8Array): Promise<void>;
  /** @throws BangerError GUEST_FAILED for what no agent of ours sends, DISK_FULL, INPUT_INVALID */
  end(): Promise<Unpacked>;
  /** Takes back what was begun: a file, or a folder that was not there before. */
  abandon(): Promise<void>;
}

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
      if (!extract.write(chunk)) await drained(extract);
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
