import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, vmmUserCount } from '../../core/plugin-api/index.ts';

/**
 * The first of the numbers for users of VMMs: such as nobody else gives out. Below it are systemd's dynamic users (61184 to
 * 65519), subordinate ones (shadow: 100000 to 600100000), containers (systemd: 0x80000 to 0x6fffffff) and users of
 * domains (sssd: up to 2000200000); above it, from 0x7ffe0000 (2147352576) on, systemd's foreign ones.
 * https://systemd.io/UIDS-GIDS/, login.defs(5), sssd-ldap(5)
 */
export const defaultUidBase = 2_100_000_000;

/** Above are those of people and services: login.defs(5), UID_MIN. */
export const leastUidBase = 1_000;

/** 2³²−1 is no user: chown(2) takes it for "as it is". */
export const greatestUidBase = 2 ** 32 - 1 - vmmUserCount;

export interface Obstacle {
  readonly detail: string;
  readonly remedy: string;
}

/** What Firecracker opens for itself, and how udev has it where there is one (50-udev-default.rules). */
const devices = [
  { path: '/dev/kvm', remedy: 'sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm' },
  // The device alone gives no rights.
  { path: '/dev/net/tun', remedy: 'sudo chmod 0666 /dev/net/tun' },
] as const;

type Device = (typeof devices)[number];

/** inode(7). */
const isFor = (mode: number, shift: number): boolean => ((mode >> shift) & 0o6) === 0o6;

/** @returns the group by which it may be opened, undefined where anybody may; an obstacle where neither is so */
const groupOf = async ({ path, remedy }: Device): Promise<number | Obstacle | undefined> => {
  try {
    const { mode, gid } = await stat(path);
    if (isFor(mode, 0)) return undefined;
    // Root's group has more than a device.
    if (isFor(mode, 3) && gid !== 0) return gid;
    return {
      detail: `${path} is for root alone, and Firecracker runs as a user of its own`,
      remedy: `Run: ${remedy}`,
    };
  } catch (error) {
    // Others say that it is missing.
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

/** The groups by which a user of no other may open the devices: a jail has its own. */
export const deviceGroups = async (): Promise<{
  readonly groups: readonly number[];
  readonly obstacle: Obstacle | undefined;
}> => {
  const found = await Promise.all(devices.map(groupOf));
  return {
    groups: found.filter((each) => typeof each === 'number'),
    obstacle: found.find((each) => typeof each === 'object'),
  };
};

const ancestors = (path: string): string[] => {
  const parent = dirname(path);
  return parent === path ? [path] : [...ancestors(parent), path];
};

/** What keeps others than its owner from running a program by its path. */
export const reachObstacle = async (path: string): Promise<Obstacle | undefined> => {
  const real = await realpath(path);
  for (const each of new Set([...ancestors(dirname(path)), ...ancestors(real)])) {
    const { mode } = await stat(each);
    const needed = each === real ? 0o5 : 0o1;
    if ((mode & needed) === needed) continue;
    return {
      detail: `${path} cannot be run by others than its owner (${each} is closed to them), and Firecracker runs as a user of its own`,
      remedy: `Put it where everybody may run it, such as /usr/local/bin.`,
    };
  }
  return undefined;
};

/** Lines of `inside outside count`, user_namespaces(7). */
export const isMapped = (map: string, base: number): boolean =>
  map.split('\n').some((line) => {
    const [inside = NaN, , count = NaN] = line.trim().split(/\s+/).map(Number);
    return base >= inside && base + vmmUserCount <= inside + count;
  });

/** In a container of users of its own there are but some numbers. */
export const mapObstacle = async (
  base: number,
  mapPath = '/proc/self/uid_map',
): Promise<Obstacle | undefined> =>
  isMapped(await readFile(mapPath, 'utf8'), base)
    ? undefined
    : {
        detail: `the users from ${String(base)} on, which VMs’ Firecrackers are to run as, do not exist in this user namespace`,
        remedy: `Set firecracker.uid_base to the first of ${String(vmmUserCount)} numbers that it has (${mapPath}).`,
      };
