import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Why something cannot run here; undefined where it can. */
export type Reason = string | undefined;

/** The first thing that is in the way: `describeUnless(firstOf(needsRoot(), needsTools('ip')), …)`. */
export const firstOf = (...reasons: readonly Reason[]): Reason =>
  reasons.find((reason) => reason !== undefined);

export const needsRoot = (): Reason =>
  process.getuid?.() === 0 ? undefined : 'it changes the host, and this is not root';

/** As root: a user's are the session manager's to give. */
export const needsCgroups = (): Reason => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const [, options = ''] = / (r[ow])\S* (?:\S+ )*- cgroup2 /.exec(mounts) ?? [];
  return options === 'rw' ? needsRoot() : 'there is no cgroup v2 that may be written to';
};

/** Looks in the sbin folders too, which an ordinary user's PATH lacks. */
export const needsTools = (...tools: readonly string[]): Reason => {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const missing = tools.filter((tool) => !folders.some((folder) => isProgram(join(folder, tool))));
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`;
};

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};
