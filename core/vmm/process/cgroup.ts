import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, codeOf } from '../../errors.ts';
import type { Instance } from '../../host/host.ts';

/** As proc(5) has them. */
export interface CgroupPlaces {
  readonly mountinfo: string;
  /** Of the daemon. */
  readonly self: string;
  readonly isRoot: boolean;
}

const ownPlaces = (): CgroupPlaces => ({
  mountinfo: '/proc/self/mountinfo',
  self: '/proc/self/cgroup',
  isRoot: process.getuid?.() === 0,
});

/** mountinfo writes a space as `\040`, and a few others so. */
const unescape = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** Where cgroup v2 is mounted: field 5, of the line whose type comes after ` - `. */
const mountPoint = async (mountinfo: string): Promise<string | undefined> => {
  for (const line of (await readFile(mountinfo, 'utf8')).split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    if (right.startsWith('cgroup2 ')) return unescape(left.split(' ')[4] ?? '');
  }
  return undefined;
};

/**
 * The folder in which the VMs of this instance have a cgroup each: for root at the top, so that who ends the daemon's
 * service or session does not end them; for a user in his own, which has to be delegated to him.
 * @returns undefined where there is no cgroup v2
 */
export const cgroupParent = async (
  instance: Pick<Instance, 'token'>,
  { mountinfo, self, isRoot }: CgroupPlaces = ownPlaces(),
): Promise<string | undefined> => {
  const mount = await mountPoint(mountinfo);
  if (mount === undefined) return undefined;
  const name = `banger-${instance.token}`;
  if (isRoot) return join(mount, name);
  const own = /^0::(.*)$/m.exec(await readFile(self, 'utf8'))?.[1];
  return own === undefined ? undefined : join(mount, own, name);
};

/** Not ours to change, or as many as were allowed (cgroup.max.descendants). */
const denials = ['EACCES', 'EPERM', 'EROFS', 'EAGAIN'];

/** cgroups(7): the folder is what there is to make. @returns false where we may not */
export const makeCgroup = async (path: string): Promise<boolean> => {
  try {
    await mkdir(path, { recursive: true });
    return true;
  } catch (error) {
    if (denials.includes(codeOf(error) ?? '')) return false;
    throw error;
  }
};

/** How long a process that has just been killed may take to leave its cgroup, milliseconds. */
const leaveMs = 2_000;
const pollMs = 5;

/**
 * Removes a VM's cgroup, which its processes have left, and the folder of all when it was the last.
 * @throws BangerError VMM_FAILED where somebody else's process is in it
 */
export const removeCgroup = async (path: string): Promise<void> => {
  const end = performance.now() + leaveMs;
  while (!(await remove(path))) {
    if (performance.now() > end) {
      const pids = (await readFile(join(path, 'cgroup.procs'), 'utf8')).trim().split('\n');
      throw new BangerError('VMM_FAILED', `${path} has processes in it: ${pids.join(', ')}`, {
        remedy: 'End them, or move them elsewhere; then run the command again.',
      });
    }
    await delay(pollMs);
  }
  await remove(dirname(path));
};

/** rmdir(2) of a cgroup fails while there is a process or another cgroup in it. */
const remove = async (path: string): Promise<boolean> => {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    // The daemon of a user whose delegation has ended leaves what is not his any more.
    if (code === 'ENOENT' || denials.includes(code ?? '')) return true;
    throw error;
  }
};

/** `qemu-<token>`. */
export const cgroupName = (driver: string, token: string): string => `${driver}-${token}`;

/** Those of a driver that are there. */
export const listCgroups = async (
  driver: string,
  parent: string,
): Promise<{ readonly token: string; readonly path: string }[]> => {
  const names = await readdir(parent, { withFileTypes: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'EACCES') return [];
    throw error;
  });
  return (
    names
      .filter((entry) => entry.isDirectory() && entry.name.startsWith(`${driver}-`))
      .map(({ name }) => ({ token: name.slice(driver.length + 1), path: join(parent, name) }))
      // Of another driver, whose id goes on.
      .filter(({ token }) => /^[a-z2-7]+$/.test(token))
  );
};
