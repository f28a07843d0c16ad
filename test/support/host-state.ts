import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** What to look at besides the host's shared objects: a daemon's state, runtime and config folders. */
export interface HostScope {
  readonly directories: readonly string[];
}

/** One line per object, such as `link bgr-…` or `loop 3 /path`: what a daemon could leave behind. */
export type HostState = ReadonlySet<string>;

/**
 * Looks at the host itself: nothing is asked of banger. Links, rules, loops, dm devices, mounts and
 * cgroups of banger's and forwarding switches are the whole machine's; processes and files are those of the scope.
 */
export const hostState = async (scope: HostScope): Promise<HostState> => {
  const ruling = rules();
  // Nothing here waits for a disk: by promises the same takes several times the CPU, hundreds of times over.
  const others = [
    links(),
    loops(),
    mapped(),
    mounts(),
    cgroups(),
    forwarding(),
    processes(scope),
    ...scope.directories.map(files),
  ].flat();
  return new Set([...others, ...(await ruling)]);
};

/** `+ …` is new, `- …` has gone; empty means that nothing differs. */
export const hostDiff = (before: HostState, after: HostState): readonly string[] => [
  ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
  ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
];

/** Waits until the host is as it was, at most `deadlineMs`, and returns what still differs. */
export const hostDiffSettled = async (
  before: HostState,
  scope: HostScope,
  deadlineMs = 10_000,
): Promise<readonly string[]> => {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const diff = hostDiff(before, await hostState(scope));
    if (diff.length === 0 || Date.now() > deadline) return diff;
    await sleep(100);
  }
};

/** Undefined where the object has gone between listing and reading, or is another user's. */
const present = <T>(read: () => T): T | undefined => {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'ENOTDIR')
      return undefined;
    throw error;
  }
};

const names = (folder: string): readonly string[] => present(() => readdirSync(folder)) ?? [];

const text = (path: string): string | undefined =>
  present(() => readFileSync(path, 'utf8'))?.trimEnd();

const links = (): string[] =>
  names('/sys/class/net')
    .filter((name) => name.startsWith('bgr-'))
    .map((name) => `link ${name}`);

/** Rules and chains of one's own. A table that exists but is empty is the kernel's module, not ours. */
const rules = async (): Promise<string[]> => {
  const found: string[] = [];
  for (const command of ['iptables-save', 'ip6tables-save']) {
    const saved = await promisify(execFile)(command, [], {
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    }).catch((error: unknown) => {
      // No iptables, no rules of ours; an ordinary user may not look.
      const { code } = error as { code?: unknown };
      if (code === 'ENOENT' || process.getuid?.() !== 0) return { stdout: '' };
      throw error;
    });
    let table = '';
    for (const line of saved.stdout.split('\n')) {
      if (line.startsWith('*')) table = line.slice(1);
      if (line.startsWith('-A')) found.push(`${command} ${table} ${line}`);
      // `:NAME - [0:0]`: a chain without a policy is someone's own.
      const chain = /^:(\S+) - /.exec(line)?.[1];
      if (chain !== undefined) found.push(`${command} ${table} chain ${chain}`);
    }
  }
  return found;
};

/** Bound loops only: an empty node stays once it was made. */
const loops = (): string[] =>
  names('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      const file = text(`/sys/block/${name}/loop/backing_file`);
      return file === undefined ? [] : [`loop ${name} ${file}`];
    });

const mapped = (): string[] =>
  names('/sys/block')
    .filter((name) => name.startsWith('dm-'))
    .map((name) => `dm ${text(`/sys/block/${name}/dm/uuid`) ?? name}`);

/** proc(5): field 5 of mountinfo is the mount point; the source is the second field after ` - `. */
const mounts = (): string[] =>
  (text('/proc/self/mountinfo') ?? '').split('\n').map((line) => {
    const [left = '', right = ''] = line.split(' - ');
    return `mount ${left.split(' ')[4] ?? ''} ${right.split(' ').slice(0, 2).join(' ')}`;
  });

const cgroups = (): string[] => {
  const line = (text('/proc/self/mountinfo') ?? '')
    .split('\n')
    .find((each) => each.includes(' - cgroup2 '));
  const mount = line?.split(' ')[4];
  if (mount === undefined) return [];
  return names(mount)
    .filter((name) => name.startsWith('banger-'))
    .flatMap((parent) => {
      const entries = present(() => readdirSync(join(mount, parent), { withFileTypes: true }));
      const inside = (entries ?? []).filter((entry) => entry.isDirectory());
      return [parent, ...inside.map(({ name }) => join(parent, name))];
    })
    .map((path) => `cgroup ${path}`);
};

const forwarding = (): string[] => {
  const devices = names('/proc/sys/net/ipv4/conf').filter((device) => !device.startsWith('bgr-'));
  return [
    '/proc/sys/net/ipv4/ip_forward',
    ...devices.map((device) => `/proc/sys/net/ipv4/conf/${device}/forwarding`),
  ].flatMap((path) => {
    const value = text(path);
    return value === undefined ? [] : [`sysctl ${path} ${value}`];
  });
};

/**
 * Processes that name a directory in their arguments, stand in it (a VMM has relative paths) or had it
 * in their environment at birth (the daemon, and whatever it started). Not this test's own ancestry,
 * and no zombies: where PID 1 does not reap, a dead orphan stays.
 */
const processes = ({ directories }: HostScope): string[] => {
  const own = ancestry();
  return names('/proc')
    .filter((pid) => /^\d+$/.test(pid) && !own.has(pid))
    .flatMap((pid) => {
      const args = text(`/proc/${pid}/cmdline`);
      const environment = text(`/proc/${pid}/environ`);
      const cwd = present(() => readlinkSync(`/proc/${pid}/cwd`));
      const isOurs = directories.some(
        (directory) =>
          args?.includes(directory) === true ||
          environment?.includes(directory) === true ||
          (cwd !== undefined && isWithin(cwd, directory)),
      );
      if (!isOurs) return [];
      const stat = text(`/proc/${pid}/stat`);
      if (stat === undefined || stateOf(stat) === 'Z') return [];
      return [`process ${pid} ${(args ?? '').replaceAll('\0', ' ').slice(0, 200)}`];
    });
};

/** The name in parentheses may hold spaces and parentheses: fields count from the last `)`. */
const fieldsOf = (stat: string): readonly string[] =>
  stat.slice(stat.lastIndexOf(')') + 2).split(' ');
const stateOf = (stat: string): string | undefined => fieldsOf(stat)[0];

const ancestry = (): ReadonlySet<string> => {
  const pids = new Set<string>();
  for (let pid: string | undefined = String(process.pid); pid !== undefined && pid !== '0';) {
    pids.add(pid);
    const stat: string | undefined = text(`/proc/${pid}/stat`);
    pid = stat === undefined ? undefined : fieldsOf(stat)[1];
  }
  return pids;
};

const isWithin = (path: string, directory: string): boolean => {
  const below = relative(directory, path);
  return below === '' || (below !== '..' && !below.startsWith('../'));
};

const files = (directory: string): string[] => {
  const entries = present(() => readdirSync(directory, { recursive: true, withFileTypes: true }));
  return (entries ?? []).map((entry) => {
    const kind = entry.isSocket() ? 'socket' : entry.isDirectory() ? 'folder' : 'file';
    return `${kind} ${join(entry.parentPath, entry.name)}`;
  });
};
