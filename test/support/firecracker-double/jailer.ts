// What the jailer does before it becomes Firecracker: see README.md. Arguments: the jailer's.
// Prints the folder of the jail, user, group and the program's name; the script that has called it goes on from there.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { documentVersion } from './document.ts';

/** To the script: that is all. */
const versionAsked = 3;

const refuse = (why: string): never => {
  process.stderr.write(`${why}\n`);
  process.exit(1);
};

/** Canonicalize of env.rs. */
const canonical = (path: string): string => {
  try {
    return realpathSync(path);
  } catch (error) {
    return refuse(
      `Failed to canonicalize path ${path}: ${error instanceof Error ? error.message : ''}`,
    );
  }
};

/** build_arg_parser() of main.rs. */
const parse = () => {
  const all = process.argv.slice(2);
  const end = all.indexOf('--');
  try {
    return parseArgs({
      args: end < 0 ? all : all.slice(0, end),
      options: {
        id: { type: 'string' },
        'exec-file': { type: 'string' },
        uid: { type: 'string' },
        gid: { type: 'string' },
        'chroot-base-dir': { type: 'string', default: '/srv/jailer' },
        'cgroup-version': { type: 'string', default: '1' },
        'parent-cgroup': { type: 'string' },
        cgroup: { type: 'string', multiple: true },
        version: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : '');
  }
};

const args = parse();
if (args.version) {
  process.stdout.write(`Jailer v${documentVersion}\n\n`);
  process.exit(versionAsked);
}
const required = (name: 'id' | 'exec-file' | 'uid' | 'gid'): string =>
  args[name] ?? refuse(`Argument '${name}' required, but not found.`);

// Env::new() of env.rs, in its order.
const id = required('id');
if (!/^[\dA-Za-z-]{1,64}$/.test(id)) refuse(`Invalid instance ID: ${id}`);
const execFile = canonical(required('exec-file'));
if (!statSync(execFile).isFile()) refuse(`${execFile} is not a file`);
const base = canonical(args['chroot-base-dir']);
if (!statSync(base).isDirectory()) refuse(`${base} is not a directory`);
const number = (name: 'uid' | 'gid'): number => {
  const text = required(name);
  if (!/^\d+$/.test(text) || Number(text) >= 2 ** 32) refuse(`Invalid ${name}: ${text}`);
  return Number(text);
};
const [uid, gid] = [number('uid'), number('gid')];
if (
  args['cgroup-version'] !== '1' ||
  args.cgroup !== undefined ||
  args['parent-cgroup'] !== undefined
)
  refuse('The double does no cgroups.');

const jail = join(base, basename(execFile), id, 'root');
mkdirSync(jail, { recursive: true });
// copy_exec_to_chroot()
const copy = join(jail, basename(execFile));
copyFileSync(execFile, copy);
if (lstatSync(copy).nlink > 1) refuse(`Detected hard link at: ${copy}`);
chownSync(copy, uid, gid);
// setup_jailed_folder() and mknod_and_own_dev(): that the nodes are there is what it does not take.
for (const folder of ['', 'dev', 'dev/net', 'run']) {
  const path = join(jail, folder);
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o700);
  chownSync(path, uid, gid);
}
for (const [name, major, minor] of [
  ['dev/net/tun', '10', '200'],
  ['dev/kvm', '10', '232'],
  ['dev/urandom', '1', '9'],
] as const) {
  const path = join(jail, name);
  try {
    execFileSync('mknod', ['-m', '0600', path, 'c', major, minor], { stdio: 'pipe' });
  } catch {
    refuse(`Failed to create /${name} via mknod inside the jail: File exists (os error 17)`);
  }
  chownSync(path, uid, gid);
}
process.stdout.write(`${jail}\n${String(uid)}\n${String(gid)}\n${basename(execFile)}\n`);
