import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import type { Random } from './random.ts';

/** Names are bytes; as strings here each character is a byte (latin1). */
const bytes = (name: string): Buffer => Buffer.from(name, 'latin1');
const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

export const at = (folder: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${folder}/`), bytes(name)]);

/** What a case can have names of: plain, nested, where a file and a folder collide, and odd ones. */
const names = [
  'a',
  'b.txt',
  'dir/c',
  'dir/d e',
  'dir/sub/f',
  'n',
  'n/m',
  'n/o/p',
  '-dash',
  ' lead',
  '"quoted"',
  'back\\slash',
  'new\nline',
  'tab\there',
  'latin\xe9\xff',
  'odd\xfe/\x80inner',
  utf8('ünïcode'),
  utf8('wörter/😀'),
  'x.bin',
  'run.sh',
];

const text = (random: Random): Buffer =>
  Buffer.from(
    Array.from(
      { length: random.below(12) },
      () => `line ${String(random.below(5))}${random.chance(0.1) ? '\r' : ''}`,
    ).join('\n') + (random.chance(0.8) ? '\n' : ''),
  );

const binary = (random: Random): Buffer =>
  Buffer.from(Array.from({ length: random.below(300) }, () => random.below(256)));

export type Entry =
  | { readonly kind: 'file'; readonly content: Buffer; readonly isExecutable: boolean }
  | { readonly kind: 'link'; readonly target: Buffer };

export const randomEntry = (random: Random): Entry =>
  random.chance(0.15)
    ? {
        kind: 'link',
        target: bytes(random.pick(['a', '../..', '/etc/passwd', 'nowhere\xe9', 'dir', 'n'])),
      }
    : {
        kind: 'file',
        content: random.chance(0.3) ? binary(random) : text(random),
        isExecutable: random.chance(0.2),
      };

export const randomName = (random: Random): string => random.pick(names);

/** All files below a folder but `.git`, by name: what two folders are compared by. */
export const readTree = async (folder: string): Promise<Map<string, string>> => {
  const found = new Map<string, string>();
  const walk = async (prefix: string): Promise<void> => {
    const here = prefix === '' ? Buffer.from(folder) : at(folder, prefix);
    for (const entry of await readdir(here, { withFileTypes: true, encoding: 'buffer' })) {
      const name = (entry.name as Buffer).toString('latin1');
      const path = prefix === '' ? name : `${prefix}/${name}`;
      if (path === '.git') continue;
      if (entry.isDirectory()) await walk(path);
      else found.set(path, await describeFile(folder, path));
    }
  };
  await walk('');
  return found;
};

const describeFile = async (folder: string, name: string): Promise<string> => {
  const path = at(folder, name);
  const stat = await lstat(path);
  if (stat.isSymbolicLink())
    return `link ${(await readlink(path, { encoding: 'buffer' })).toString('latin1')}`;
  const content = (await readFile(path)).toString('latin1');
  return `${(stat.mode & 0o100) === 0 ? 'file' : 'program'} ${content}`;
};

const put = async (folder: string, name: string, entry: Entry): Promise<void> => {
  // What is in the way goes: a file where a folder has to be, or the other way round.
  const parts = name.split('/');
  for (let length = 1; length < parts.length; length++) {
    const parent = at(folder, parts.slice(0, length).join('/'));
    const stat = await lstat(parent).catch(() => undefined);
    if (stat !== undefined && !stat.isDirectory()) await rm(parent);
  }
  const path = at(folder, name);
  await rm(path, { recursive: true, force: true });
  if (parts.length > 1) await mkdir(at(folder, parts.slice(0, -1).join('/')), { recursive: true });
  if (entry.kind === 'link') await symlink(entry.target, path);
  else {
    await writeFile(path, entry.content);
    if (entry.isExecutable) await chmod(path, 0o755);
  }
};

/** Changes some files, as somebody at work does. */
export const editFiles = async (folder: string, random: Random, times: number): Promise<void> => {
  for (let done = 0; done < times; done++) {
    // Sorted, so that a seed means the same case everywhere.
    const there = [...(await readTree(folder)).keys()].sort();
    const some = there.length > 0 ? random.pick(there) : undefined;
    const what = random.below(10);
    if (some === undefined || what < 3) await put(folder, randomName(random), randomEntry(random));
    else if (what < 5) await put(folder, some, randomEntry(random));
    else if (what < 7) await rm(at(folder, some));
    else if (what === 7) await moveFile(folder, some, randomName(random));
    else await touchUp(folder, some, random);
  }
};

const moveFile = async (folder: string, from: string, to: string): Promise<void> => {
  if (from === to || from.startsWith(`${to}/`) || to.startsWith(`${from}/`)) return;
  const spare = at(folder, 'moved-away');
  await rename(at(folder, from), spare);
  await put(folder, to, { kind: 'file', content: Buffer.alloc(0), isExecutable: false });
  await rename(spare, at(folder, to));
};

/** A small change: what merges and deltas are made of. */
const touchUp = async (folder: string, name: string, random: Random): Promise<void> => {
  const path = at(folder, name);
  const stat = await lstat(path);
  if (!stat.isFile()) return;
  if (random.chance(0.3)) await chmod(path, (stat.mode & 0o100) === 0 ? 0o755 : 0o644);
  else
    await writeFile(
      path,
      Buffer.concat([await readFile(path), Buffer.from(`more ${String(random.below(9))}\n`)]),
    );
};
