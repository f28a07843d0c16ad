import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, type Executor, type PathObserved } from '../../core/plugin-api/index.ts';
import { unlessAbsent } from './absent.ts';

export interface BoundLoop {
  readonly number: number;
  /** The file's path as the kernel knows it, which is the link's of several to one file. */
  readonly backing: string;
}

/** Low numbers are what `losetup --find` gives to others. */
const firstNumber = 100;
const lastNumber = 4095;
const detachDeadlineMs = 10_000;
const pollMs = 20;

const devicePath = (number: number): string => `/dev/loop${String(number)}`;

/** What sysfs appends for a file that has no name any more: d_path(). */
const deleted = ' (deleted)';

/** The path of the file behind that loop, or undefined where it is unbound. Needs no privilege. */
export const backingOf = async (number: number): Promise<string | undefined> => {
  const attribute = `/sys/block/loop${String(number)}/loop/backing_file`;
  // Of a loop that is being unbound: not there, or ENODEV or ENXIO where it was opened before.
  const text = await unlessAbsent(readFile(attribute, 'utf8'), 'ENODEV', 'ENXIO');
  if (text === undefined) return undefined;
  const path = text.replace(/\n$/, '');
  return path.endsWith(deleted) ? path.slice(0, -deleted.length) : path;
};

export const listLoops = async (): Promise<BoundLoop[]> => {
  const found: BoundLoop[] = [];
  for (const name of await namesIn('/sys/block')) {
    const number = /^loop(\d+)$/.exec(name)?.[1];
    const backing = number === undefined ? undefined : await backingOf(Number(number));
    if (backing !== undefined) found.push({ number: Number(number), backing });
  }
  return found;
};

export const namesIn = async (folder: string): Promise<string[]> =>
  (await unlessAbsent(readdir(folder))) ?? [];

/** The kernel tells paths without symbolic links. Undefined where the folder is not there. */
const resolved = (folder: string): Promise<string | undefined> => unlessAbsent(realpath(folder));

/** Whether the loop of that number is bound to that file of our folder; a copy of the folder is another one. */
export const isBoundTo = async (
  number: number,
  path: string,
  directory: string,
): Promise<boolean> => {
  const backing = await backingOf(number);
  const folder = backing === undefined ? undefined : await resolved(directory);
  return folder !== undefined && backing === join(folder, basename(path));
};

/** Those over files of that folder, by the files' names. */
export const loopsIn = async (directory: string): Promise<Map<string, number>> => {
  const folder = await resolved(directory);
  if (folder === undefined) return new Map();
  return new Map(
    (await listLoops())
      .filter(({ backing }) => backing === join(folder, basename(backing)))
      .map(({ number, backing }) => [basename(backing), number]),
  );
};

/** Numbers to try, the lowest first. */
export function* freeNumbers(taken: ReadonlySet<number>): Generator<number> {
  for (let number = firstNumber; number <= lastNumber; number++)
    if (!taken.has(number)) yield number;
}

/** @throws BangerError COMMAND_FAILED, also where another program was quicker to take the number */
export const bindLoop = async (
  number: number,
  path: string,
  readOnly: boolean,
  exec: Executor,
): Promise<void> => {
  const how = readOnly ? ['--read-only'] : [];
  await exec.run('losetup', [...how, devicePath(number), path], { privileged: true });
};

/** As losetup(8) prints an unprintable or blank character in its raw output. */
const unescape = (text: string): string =>
  text.replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));

/** glibc's gnu_dev_makedev(), which stat(2) uses. */
const deviceNumber = (major: bigint, minor: bigint): bigint =>
  ((major & 0xfffn) << 8n) |
  ((major & ~0xfffn) << 32n) |
  (minor & 0xffn) |
  ((minor & ~0xffn) << 12n);

/** dev:inode of the files behind loops, out of `losetup --raw --output NAME,BACK-MAJ:MIN,BACK-INO`. */
export const parseBacking = (stdout: string): Map<string, PathObserved> =>
  new Map(
    stdout.split('\n').flatMap((line) => {
      const [name, device, ino] = line.split(' ').map((field) => unescape(field).trim());
      const [, major, minor] = /^(\d+):(\d+)$/.exec(device ?? '') ?? [];
      if (name === undefined || ino === undefined || major === undefined || minor === undefined)
        return [];
      const dev = String(deviceNumber(BigInt(major), BigInt(minor)));
      return [[name, { dev, ino }] as const];
    }),
  );

/**
 * Unbinds a loop whose file's name says that it is ours. `losetup -d` of one that is in use succeeds, and the
 * kernel unbinds it when its last user is gone: so what counts is that it is unbound.
 * @param observed of the file, where it is known
 * @throws BangerError FOREIGN_OBJECT where the file is another one; CLAIM_IN_USE at the deadline
 */
export const detachLoop = async (
  number: number,
  path: string,
  observed: PathObserved | undefined,
  directory: string,
  exec: Executor,
): Promise<void> => {
  const device = devicePath(number);
  const { stdout } = await exec.run(
    'losetup',
    ['--list', '--raw', '--noheadings', '--output', 'NAME,BACK-MAJ:MIN,BACK-INO'],
    { privileged: true },
  );
  const file = parseBacking(stdout).get(device);
  if (file === undefined) return;
  if (observed !== undefined && (file.dev !== observed.dev || file.ino !== observed.ino)) {
    throw new BangerError(
      'FOREIGN_OBJECT',
      `${device} is not bound to the file that was made for it; it stays`,
      { remedy: `See it with \`losetup ${device}\`; detach it yourself.` },
    );
  }
  await exec.run('losetup', ['--detach', device], { privileged: true });
  const end = performance.now() + detachDeadlineMs;
  while (await isBoundTo(number, path, directory)) {
    if (performance.now() > end) {
      const holders = await namesIn(`/sys/block/loop${String(number)}/holders`);
      throw new BangerError(
        'CLAIM_IN_USE',
        `${device} is still in use${holders.length === 0 ? '' : ` by ${holders.join(', ')}`}`,
        { remedy: `End what uses it (\`lsof ${device}\`); it then goes by itself.` },
      );
    }
    await delay(pollMs);
  }
};
