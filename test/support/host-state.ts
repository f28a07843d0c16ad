import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
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
  const parts = await Promise.all([
    links(),
    rules(),
    loops(),
    mapped(),
    mounts(),
    cgroups(),
    forwarding(),
    processes(scope),
    ...scope.directories.map(files),
  ]);
  return new Set(parts.flat());
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
const present = async <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'ENOTDIR')
      return undefined;
    throw error;
  });

const names = async (folder: string): Promise<readonly string[]> =>
  (await present(readdir(folder))) ?? [];

const text = async (path: string): Promise<string | undefined> =>
  (await present(readFile(path, 'utf8')))?.trimEnd();

const links = async (): Promise<string[]> =>
  (await names('/sys/class/net'))
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
const loops = async (): Promise<string[]> => {
  const found = (await names('/sys/block'))
    .filter((name) => name.startsWith('loop'))
    .map(async (name) => {
      const file = await text(`/sys/block/${name}/loop/backing_file`);
      return file === undefined ? [] : [`loop ${name} ${file}`];
    });
  return (await Promise.all(found)).flat();
};

const mapped = async (): Promise<string[]> => {
  const found = (await names('/sys/block'))
    .filter((name) => name.startsWith('dm-'))
    .map(async (name) => `dm ${(await text(`/sys/block/${name}/dm/uuid`)) ?? name}`);
  return Promise.all(found);
};

/** proc(5): field 5 of mountinfo is the mount point; the source is the second field after ` - `. */
const mounts = async (): Promise<string[]> =>
  ((await text('/proc/self/mountinfo')) ?? '').split('\n').map((line) => {
    const [left = '', right = ''] = line.split(' - ');
    return `mount ${left.split(' ')[4] ?? ''} ${right.split(' ').slice(0, 2).join(' ')}`;
  });

const cgroups = async (): Promise<string[]> => {
  const line = ((await text('/proc/self/mountinfo')) ?? '')
    .split('\n')
    .find((each) => each.includes(' - cgroup2 '));
  const mount = line?.split(' ')[4];
  if (mount === undefined) return [];
  const parents = (await names(mount)).filter((name) => name.startsWith('banger-'));
  const found = parents.map(async (parent) => {
    const entries = await present(readdir(join(mount, parent), { withFileTypes: true }));
    const inside = (entries ?? []).filter((entry) => entry.isDirectory());
    return [parent, ...inside.map(({ name }) => join(parent, name))];
  });
  return (await Promise.all(found)).flat().map((path) => `cgroup ${path}`);
};

const forwarding = async (): Promise<string[]> => {
  const switches = ['/proc/sys/net/ipv4/ip_forward'];
  for (const device of await names('/proc/sys/net/ipv4/conf')) {
    if (!device.startsWith('bgr-')) switches.push(`/proc/sys/net/ipv4/conf/${device}/forwarding`);
  }
  return (
    await Promise.all(
      switches.map(async (path) => {
        const value = await text(path);
        return value === undefined ? [] : [`sysctl ${path} ${value}`];
      }),
    )
  ).flat();
};

/**
 * Processes that name a directory in their arguments, stand in it (a VMM has relative paths) or had it
 * in their environment at birth (the daemon, and whatever it started). Not this test's own ancestry,
 * and no zombies: where PID 1 does not reap, a dead orphan stays.
 */
const processes = async ({ directories }: HostScope): Promise<string[]> => {
  const own = await ancestry();
  const found = (await names('/proc'))
    .filter((pid) => /^\d+$/.test(pid) && !own.has(pid))
    .map(async (pid) => {
      const [stat, args, environment, cwd] = await Promise.all([
        text(`/proc/${pid}/stat`),
        text(`/proc/${pid}/cmdline`),
        text(`/proc/${pid}/environ`),
        present(readlink(`/proc/${pid}/cwd`)),
      ]);
      if (stat === undefined || stateOf(stat) === 'Z') return [];
      const isOurs = directories.some(
        (directory) =>
          args?.includes(directory) === true ||
          environment?.includes(directory) === true ||
          (cwd !== undefined && isWithin(cwd, directory)),
      );
      return isOurs ? [`process ${pid} ${(args ?? '').replaceAll('\0', ' ').slice(0, 200)}`] : [];
    });
  return (await Promise.all(found)).flat();
};

/** The name in parentheses may hold spaces and parentheses: fields count from the last `)`. */
const fieldsOf = (stat: string): readonly string[] =>
  stat.slice(stat.lastIndexOf(')') + 2).split(' ');
const stateOf = (stat: string): string | undefined => fieldsOf(stat)[0];

const ancestry = async (): Promise<ReadonlySet<string>> => {
  const pids = new Set<string>();
  for (let pid: string | undefined = String(process.pid); pid !== undefined && pid !== '0';) {
    pids.add(pid);
    const stat: string | undefined = await text(`/proc/${pid}/stat`);
    pid = stat === undefined ? undefined : fieldsOf(stat)[1];
  }
  return pids;
};

const isWithin = (path: string, directory: string): boolean => {
  const below = relative(directory, path);
  return below === '' || (below !== '..' && !below.startsWith('../'));
};

const files = async (directory: string): Promise<string[]> => {
  const entries = await present(readdir(directory, { recursive: true, withFileTypes: true }));
  return (entries ?? []).map((entry) => {
    const kind = entry.isSocket() ? 'socket' : entry.isDirectory() ? 'folder' : 'file';
    return `${kind} ${join(entry.parentPath, entry.name)}`;
  });
};
