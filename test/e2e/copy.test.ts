import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { treeOf } from '../support/tree-of.ts';
import { inTerminal } from './support/terminal.ts';
import { createWorld, type World } from './support/world.ts';

let world: World;
let here: string;
const at = (...names: readonly string[]): string => join(here, ...names);
const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  world = await createWorld();
  here = join(world.root, 'files');
  await mkdir(here);
  await world.ok(['vm', 'create', 'box']);
});
afterAll(() => world.dispose());

it('64 MiB go in and come back, with the same hash', async () => {
  const bytes = randomBytes(64 * 1024 ** 2);
  await writeFile(at('big'), bytes);
  expect((await world.cli(['vm', 'cp', at('big'), 'box:'])).stderr).toContain('copied 1 file, 64M');
  const inGuest = await world.guest('box', 'sha256sum < /root/big');
  expect(inGuest.split(' ')[0]).toBe(digest(bytes));
  const out = await world.ok(['vm', 'cp', '--json', 'box:big', at('back')]);
  expect(JSON.parse(out)).toEqual({ files: 1, bytes: bytes.length, notes: [] });
  expect(digest(await readFile(at('back')))).toBe(digest(bytes));
});

it('tells on a terminal how far it is, in both directions', async () => {
  for (const words of [
    [at('big'), 'box:again'],
    ['box:again', at('again')],
  ]) {
    const { code, output } = await inTerminal(world, ['vm', 'cp', ...words], []);
    expect(code).toBe(0);
    const percents = [...output.matchAll(/of 64M \((\d+) %\)/g)].map(([, percent]) =>
      Number(percent),
    );
    expect(percents.length).toBeGreaterThan(2);
    expect(percents).toEqual([...percents].sort((a, b) => a - b));
  }
});

it('folders go in and come back with names, modes, links; odd ones too', async () => {
  const tree = at('tree');
  await mkdir(join(tree, 'deep', 'x'.repeat(200), 'y'.repeat(200)), { recursive: true });
  await writeFile(join(tree, 'run.sh'), 'echo', { mode: 0o755 });
  await chmod(join(tree, 'run.sh'), 0o755);
  await writeFile(join(tree, 'deep', 'line\nbreak'), 'x');
  await writeFile(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff])]), 'raw');
  await symlink('run.sh', join(tree, 'link'));
  await world.ok(['vm', 'cp', tree, 'box:/srv']);
  await world.ok(['vm', 'cp', 'box:/srv/tree', at('tree-back')]);
  expect(await treeOf(at('tree-back'))).toEqual(await treeOf(tree));
  // Below its name where there is a folder, as cp does; `/.` is what is in it.
  await world.ok(['vm', 'cp', 'box:/srv/tree', at('tree-back')]);
  expect(await readdir(at('tree-back'))).toContain('tree');
  await world.ok(['vm', 'cp', `${tree}/.`, 'box:/srv/www/']);
  expect(await world.guest('box', 'stat -c %u:%g:%a /srv/www/run.sh')).toBe('0:0:755');
});

it('what a guest sends stays in its place and within the limit', async () => {
  await world.guest(
    'box',
    'mkdir -p /tmp/evil; cd /tmp/evil; ln -s /etc/passwd out; touch suid; chmod 4755 suid; mkfifo pipe',
  );
  const copied = await world.cli(['vm', 'cp', 'box:/tmp/evil', at('evil')]);
  expect(copied.code).toBe(0);
  expect(copied.stderr).toContain('out is a symlink that leads out of the folder');
  expect(copied.stderr).toContain('pipe: left out');
  expect((await stat(at('evil', 'suid'))).mode & 0o7777).toBe(0o755);
  const refused = await world.cli(['vm', 'cp', '--limit', '10M', 'box:big', at('never')]);
  expect(refused.code).toBe(125);
  expect(refused.stderr).toContain('the guest sends more than 10M');
  expect(await readdir(here)).not.toContain('never');
  expect((await readdir(here)).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('says what is wrong, and whose fault it is', async () => {
  const cases = [
    [['box:/none', at('x')], 'the guest says: /none: No such file or directory', 125],
    [[at('none'), 'box:'], `there is no file or folder ${at('none')}`, 2],
    [['box:/etc/hosts', at('none', 'x')], `there is no folder ${at('none')}`, 2],
    [[at('big'), 'nosuch:'], "there is no VM named 'nosuch'", 125],
    [[at('big'), at('x')], 'is in a VM', 2],
    [[at('big'), 'box:/dev/null/x'], 'Not a directory', 125],
    [[at('tree'), 'box:big'], 'Not a directory', 125],
  ] as const;
  for (const [words, expected, code] of cases) {
    const failed = await world.cli(['vm', 'cp', ...words]);
    expect(failed, words.join(' ')).toMatchObject({ code });
    expect(failed.stderr).toContain(expected);
  }
  await world.ok(['vm', 'stop', 'box']);
  expect((await world.cli(['vm', 'cp', at('big'), 'box:'])).stderr).toContain(
    "VM 'box' is stopped",
  );
});
