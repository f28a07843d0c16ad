import { within } from '../deadline.ts';
import type { CopyRequest, CopyResult } from '../api/contract/types.ts';
import { BangerError } from '../errors.ts';
import { byteProgress } from '../operation/byte-progress.ts';
import type { OperationContext } from '../operation/context.ts';
import type { Guest } from '../plugin-api/services/guest.ts';
import { measureTree, packTree } from '../tar/pack-tree.ts';
import { unpackTree } from '../tar/unpack-tree.ts';
import { boundedNotes } from './notes.ts';

/** What a guest may send where nobody says: more than most disks of guests, less than a full one of the host's. */
const defaultLimitBytes = 64 * 1024 ** 3;

type Operation = Pick<OperationContext, 'signal' | 'progress' | 'notice'>;

const measured = async (path: string): ReturnType<typeof measureTree> => {
  try {
    return await measureTree(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new BangerError('INPUT_INVALID', `there is no file or folder ${path}`, {
      remedy: 'Correct the path; what is in a VM is written NAME:PATH.',
      cause: error,
    });
  }
};

const copyIn = async (
  guest: Guest,
  { host, guest: path, name }: CopyRequest,
  operation: Operation,
): Promise<CopyResult> => {
  const { bytes: total } = await measured(host);
  const progress = byteProgress(operation);
  const notes: string[] = [];
  const count = { bytes: 0, files: 0 };
  const tar = packTree(host, {
    signal: operation.signal,
    onNote: boundedNotes((text) => {
      notes.push(text);
      operation.notice(text);
    }),
    onFile: () => (count.files += 1),
    onBytes: (bytes) => {
      count.bytes = bytes;
      progress(bytes, total);
    },
  });
  await guest.untar({ path, name }, tar, operation.signal);
  return { ...count, notes };
};

const copyOut = async (
  guest: Guest,
  { host, guest: path, name, limitBytes = defaultLimitBytes }: CopyRequest,
  operation: Operation,
): Promise<CopyResult> => {
  const notes: string[] = [];
  const onNote = boundedNotes((text) => {
    notes.push(text);
    operation.notice(text);
  });
  const unpacking = unpackTree({
    path: host,
    name,
    limitBytes,
    onBytes: byteProgress(operation),
    onNote,
  });
  try {
    await guest.tar(path, { onChunk: (chunk) => unpacking.write(chunk), onNote }, operation.signal);
    const { files, bytes } = await within(operation.signal, unpacking.end());
    return { files, bytes, notes };
  } catch (error) {
    await unpacking.abandon();
    throw error;
  }
};

/**
 * Copies a file or folder to a guest or from it.
 * @throws BangerError INPUT_INVALID, GUEST_FAILED, GUEST_UNREACHABLE, DISK_FULL
 */
export const copy = (
  guest: Guest,
  request: CopyRequest,
  operation: Operation,
): Promise<CopyResult> =>
  request.direction === 'in'
    ? copyIn(guest, request, operation)
    : copyOut(guest, request, operation);
