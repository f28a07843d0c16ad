import type { Executor } from '../../core/plugin-api/index.ts';

export type Version = readonly [major: number, minor: number, patch: number];

/** Before it the guest's ACPI, by which it finds its devices, had known faults (CHANGELOG.md of Firecracker). */
export const oldest: Version = [1, 10, 0];

export const isAtLeast = (version: Version, other: Version): boolean => {
  const at = version.findIndex((part, index) => part !== other[index]);
  return at < 0 || (version[at] ?? 0) > (other[at] ?? 0);
};

export const formatVersion = (version: Version): string => version.join('.');

/** Of what `firecracker --version` says: `Firecracker v1.13.1`. */
export const parseVersion = (text: string): Version | undefined => {
  const [, major, minor, patch] = /^Firecracker v(\d+)\.(\d+)\.(\d+)/m.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
};

/** @returns undefined where it says something else */
export const versionOf = async (binary: string, exec: Executor): Promise<Version | undefined> =>
  parseVersion((await exec.run(binary, ['--version'])).stdout);
