import { access, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, type Executor, type Instance } from '../../core/plugin-api/index.ts';
import { unlessAbsent } from './absent.ts';
import { namesIn } from './loops.ts';

export interface Target {
  readonly name: string;
  readonly uuid: string;
  /** `253:0` */
  readonly device: string;
}

/** 512 bytes, whatever the disk's own sector is: the unit of device-mapper tables. */
export const sectorBytes = 512;

/** Sectors: 4 KiB, ext4's block, so that a guest's write copies no more than itself. */
const chunkSectors = 8;
export const chunkBytes = chunkSectors * sectorBytes;

/**
 * dmsetup makes and removes the node itself, with the owner that it is told, and waits for no cookie: so
 * it works without udev and leaves no semaphore if it is killed. udev keeps its hands off a node that is there.
 */
const withoutUdev = { privileged: true, env: { DM_DISABLE_UDEV: '1' } } as const;

/** The first is the VMM's end, milliseconds; then whoever else looks at a new disk, such as udev's blkid. */
const removeDeadlineMs = 10_000;
const pollMs = 50;

export const nodePath = (name: string): string => `/dev/mapper/${name}`;

export const targetName = (
  instance: Pick<Instance, 'token'>,
  token: string,
  of: 'snapshot' | 'base',
): string => `banger-${instance.token}-${token}${of === 'base' ? '-base' : ''}`;

/** Token and kind in a name of ours, or undefined where it is not ours. */
export const parseTargetName = (
  instance: Pick<Instance, 'token'>,
  name: string,
): { token: string; of: 'snapshot' | 'base' } | undefined => {
  const prefix = targetName(instance, '', 'snapshot');
  const match = name.startsWith(prefix)
    ? /^([a-z2-7]+)(-base)?$/.exec(name.slice(prefix.length))
    : null;
  if (match?.[1] === undefined) return undefined;
  return { token: match[1], of: match[2] === undefined ? 'snapshot' : 'base' };
};

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Whether the kernel has device-mapper, loaded: without it there is no target. */
export const hasDeviceMapper = (): Promise<boolean> => exists('/sys/class/misc/device-mapper');

/** Without privilege, and without dmsetup. Those without a table yet, of a dmsetup that was killed, are not there. */
export const listTargets = async (): Promise<Target[]> => {
  const targets: Target[] = [];
  for (const block of (await namesIn('/sys/block')).filter((name) => /^dm-\d+$/.test(name))) {
    const read = async (attribute: string): Promise<string> =>
      (await readFile(`/sys/block/${block}/${attribute}`, 'utf8')).trim();
    const [name, uuid, device] =
      (await unlessAbsent(
        Promise.all([read('dm/name'), read('dm/uuid'), read('dev')]),
        'ENODEV',
      )) ?? [];
    if (name !== undefined && uuid !== undefined && device !== undefined)
      targets.push({ name, uuid, device }); // else removed meanwhile
  }
  return targets;
};

/** What `dmsetup info -c --noheadings --separator ' ' -o name,uuid,major,minor` prints. */
export const parseInfo = (stdout: string): Target[] =>
  stdout.split('\n').flatMap((line) => {
    const match = /^(\S+) (\S*) (\d+) (\d+)$/.exec(line.trim());
    if (match === null) return []; // `No devices found`, and the empty last line
    const [, name = '', uuid = '', major = '', minor = ''] = match;
    return [{ name, uuid, device: `${major}:${minor}` }];
  });

const infoArgs = ['info', '-c', '--noheadings', '--separator', ' ', '-o', 'name,uuid,major,minor'];

/** All, those without a table as well. */
export const listAllTargets = async (exec: Executor): Promise<Target[]> => {
  if (!(await hasDeviceMapper())) return [];
  return parseInfo((await exec.run('dmsetup', infoArgs, withoutUdev)).stdout);
};

export const sectorsOf = (bytes: number): number => Math.floor(bytes / sectorBytes);

/** The image, then zeros up to the asked size: a snapshot is never larger than what it stands on. */
export const createBase = async (
  name: string,
  uuid: string,
  image: string,
  imageBytes: number,
  bytes: number,
  exec: Executor,
): Promise<void> => {
  const own = sectorsOf(imageBytes);
  const lines = [
    `0 ${String(own)} linear ${image} 0`,
    `${String(own)} ${String(sectorsOf(bytes) - own)} zero`,
  ];
  // Of several lines; --table takes one, and standard input is the helpers lock.
  await exec.run(
    'dmsetup',
    ['create', '--concise', [name, uuid, '', 'ro', ...lines].join(',')],
    withoutUdev,
  );
};

/** `P`: the exceptions are in the COW file too, so that the disk is there again at the next start. */
export const createSnapshot = async (
  name: string,
  uuid: string,
  origin: string,
  cow: string,
  bytes: number,
  exec: Executor,
): Promise<void> => {
  await exec.run(
    'dmsetup',
    [
      'create',
      name,
      '--uuid',
      uuid,
      // The VMM runs as the daemon's user.
      '--uid',
      String(process.getuid?.() ?? 0),
      '--gid',
      String(process.getgid?.() ?? 0),
      '--mode',
      '0600',
      '--table',
      `0 ${String(sectorsOf(bytes))} snapshot ${origin} ${cow} P ${String(chunkSectors)}`,
    ],
    withoutUdev,
  );
};

/** @throws BangerError CLAIM_IN_USE where somebody still has it open at the deadline */
export const removeTarget = async (name: string, exec: Executor): Promise<void> => {
  const end = performance.now() + removeDeadlineMs;
  for (;;) {
    const { exitCode, stderr } = await exec.run('dmsetup', ['remove', name], {
      ...withoutUdev,
      okCodes: [0, 1],
    });
    if (exitCode === 0) return;
    if (!(await listAllTargets(exec)).some((target) => target.name === name)) return;
    if (!/busy/i.test(stderr))
      throw new BangerError('COMMAND_FAILED', `dmsetup remove ${name}: ${stderr.trim()}`);
    if (performance.now() > end) {
      throw new BangerError('CLAIM_IN_USE', `the root disk ${nodePath(name)} is still open`, {
        remedy: `End what uses it (\`sudo lsof ${nodePath(name)}\`, \`sudo dmsetup info ${name}\`), then run the command again.`,
      });
    }
    await delay(pollMs);
  }
};

/** The node of a target that is gone, as a killed dmsetup leaves it. */
export const removeStaleNode = async (name: string, exec: Executor): Promise<void> => {
  if (await exists(nodePath(name))) await exec.run('dmsetup', ['mknodes', name], withoutUdev);
};

export interface SnapshotStatus {
  /** Bytes of the COW file that are taken, and that there are; absent when it is `invalid`. */
  readonly usedBytes?: number;
  readonly totalBytes?: number;
  /** A write to it failed, or it is full: the disk gives errors from then on. */
  readonly invalid: boolean;
}

/** By name: `NAME: 0 16777216 snapshot 1296/16842768 32`, or a word instead of the numbers. */
export const parseStatus = (stdout: string): Map<string, SnapshotStatus> =>
  new Map(
    stdout.split('\n').flatMap((line): [string, SnapshotStatus][] => {
      const [, name, rest] = /^(\S+): \d+ \d+ snapshot (.+)$/.exec(line.trim()) ?? [];
      if (name === undefined || rest === undefined) return [];
      const [, used, total] = /^(\d+)\/(\d+)\b/.exec(rest) ?? [];
      if (used === undefined || total === undefined)
        return [[name, { invalid: /^(Invalid|Overflow|Merge failed)/.test(rest) }]];
      const [usedBytes, totalBytes] = [Number(used) * sectorBytes, Number(total) * sectorBytes];
      return [[name, { usedBytes, totalBytes, invalid: false }]];
    }),
  );

/** Of all snapshots on the host, in one call. */
export const snapshotStatus = async (exec: Executor): Promise<Map<string, SnapshotStatus>> =>
  parseStatus((await exec.run('dmsetup', ['status', '--target', 'snapshot'], withoutUdev)).stdout);

/** Whether the running kernel has that kind of target by now. */
export const hasTarget = async (kind: string, exec: Executor): Promise<boolean> => {
  // 1: no device-mapper at all.
  const { stdout } = await exec.run('dmsetup', ['targets'], { ...withoutUdev, okCodes: [0, 1] });
  return stdout.split('\n').some((line) => line.split(/\s+/)[0] === kind);
};
