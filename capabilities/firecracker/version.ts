import type { Executor } from '../../core/plugin-api/index.ts';

export type Version = readonly [major: number, minor: number, patch: number];

/** Before it the guest's ACPI, by which it finds its devices, had known faults (CHANGELOG.md of Firecracker). */
export const oldest: Version = [1, 10, 0];

export const isAtLeast = (version: Version, other: Version): boolean => {
  const at = version.findIndex((part, index) => part !== other[index]);
  return at < 0 || (version[at] ?? 0) > (other[at] ?? 0);
};

export const formatVersion = (version: Version): string => version.join('.');

/** As it calls itself in what `--version` says: `Firecracker v1.13.1`. */
type Title = 'Firecracker' | 'Jailer';

const parseVersion = (text: string, title: Title): Version | undefined => {
  const [, said, major, minor, patch] = /^(\w+) v(\d+)\.(\d+)\.(\d+)/m.exec(text) ?? [];
  if (said !== title) return undefined;
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
};

/** @returns undefined where it says something else */
export const versionOf = async (
  binary: string,
  exec: Executor,
  title: Title = 'Firecracker',
): Promise<Version | undefined> =>
  parseVersion((await exec.run(binary, ['--version'])).stdout, title);
