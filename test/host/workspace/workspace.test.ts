import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  WorkspaceContents,
  WorkspaceExported,
  WorkspacePrepared,
  WorkspacePulled,
  WorkspaceStatus,
} from '../../../capabilities/workspace/contract.ts';
import type { MachineSpec } from '../../../core/plugin-api/index.ts';
import { readTree } from './support/files.ts';
import { GitWorld } from './support/git-world.ts';

let world: GitWorld;
let host: string;
let guest: string;

const enter = (made: GitWorld): void => {
  world = made;
  host = made.host;
  guest = made.guestPath;
};

beforeEach(async () => {
  enter(await GitWorld.create());
});
afterEach(() => world.dispose());

const inHost = (name: string): string => join(host, name);
const inGuest = (name: string): string => join(guest, name);
const text = (path: string): Promise<string> => readFile(path, 'utf8');

/** A repository with a commit. */
const begin = async (files: Readonly<Record<string, string>> = { a: 'one\ntwo\nthree\n' }) => {
  await world.git(host, ['init', '-q', '-b', 'main']);
  for (const [name, content] of Object.entries(files)) await writeFile(inHost(name), content);
  await world.git(host, ['add', '-A']);
  await world.git(host, ['commit', '-q', '-m', 'first']);
};

const pull = (): Promise<WorkspacePulled> => world.action('pull', { vm: 'box' });
const exported = (): Promise<WorkspaceExported> => world.action('export', { vm: 'box' });
const status = (): Promise<WorkspaceStatus> => world.action('status', { vm: 'box' });

describe('what goes in', () => {
  it('is HEAD alone with the changes of tracked files, and no secrets', async () => {
    await begin({ a: '1\n', '.gitignore': 'ignored\n' });
    await writeFile(inHost('a'), '2\n');
    await world.git(host, ['commit', '-q', '-a', '-m', 'second']);
    await writeFile(inHost('a'), '3\n');
    await writeFile(inHost('untracked'), 'secret');
    await writeFile(inHost('ignored'), 'secret');
    await world.git(host, ['remote', 'add', 'origin', 'https://me:secret@host/x.git']);
    const { notices } = await world.prepare<WorkspacePrepared>();
    expect(notices).toEqual([expect.stringMatching(/^1 untracked entry stays behind/)]);
    expect((await readdir(guest)).sort()).toEqual(['.git', '.gitignore', 'a']);
    expect(await world.git(guest, ['rev-list', '--count', 'HEAD'])).toBe('1');
    expect(await world.git(guest, ['status', '--porcelain'])).toBe(' M a');
    expect(await world.git(guest, ['config', 'remote.origin.url'])).toBe('https://host/x.git');
    expect(await world.git(guest, ['fsck', '--strict'])).not.toContain('error');
  });

  it('has untracked files where asked, and never ignored ones or other repositories', async () => {
    await begin({ a: '1\n', '.gitignore': 'ignored\n' });
    await writeFile(inHost('untracked'), 'x');
    await writeFile(inHost('ignored'), 'secret');
    await writeFile(join(host, '.git/info/exclude'), 'excluded\n');
    await writeFile(inHost('excluded'), 'secret');
    await mkdir(inHost('other'));
    await world.git(inHost('other'), ['init', '-q']);
    await writeFile(inHost('other/file'), 'x');
    const input = { path: host, includeUntracked: true };
    const checked = await world.action<WorkspaceContents>('check', input);
    expect(checked.changes).toEqual([{ status: 'A', path: 'untracked' }]);
    expect(checked.notices).toEqual(['other/ is a repository of its own and stays behind']);
    await world.prepare({ includeUntracked: true });
    expect((await readdir(guest)).sort()).toEqual(['.git', '.gitignore', 'a', 'untracked']);
    expect(await world.git(guest, ['status', '--porcelain'])).toBe('?? untracked');
  });

  it('is all of it in a full copy', async () => {
    await begin();
    await world.git(host, ['tag', 'v1']);
    await world.git(host, ['commit', '-q', '--allow-empty', '-m', 'second']);
    await world.git(host, ['branch', 'other', 'HEAD^']);
    await writeFile(inHost('a'), 'changed');
    await world.prepare({ mode: 'full_copy' });
    expect(await world.git(guest, ['rev-list', '--count', 'HEAD'])).toBe('2');
    expect(
      await world.git(guest, ['for-each-ref', '--format=%(refname)', 'refs/heads', 'refs/tags']),
    ).toBe('refs/heads/main\nrefs/heads/other\nrefs/tags/v1');
    expect(await world.git(guest, ['status', '--porcelain'])).toBe(' M a');
    expect((await status()).guest).toMatchObject({ commits: 0, commitsElsewhere: 0, changes: [] });
  });

  it('has no local changes where only the repository was asked for', async () => {
    await begin();
    await writeFile(inHost('a'), 'changed');
    await world.prepare({ mode: 'metadata_only' });
    expect(await world.git(guest, ['status', '--porcelain'])).toBe('');
    expect(await text(inGuest('a'))).toBe('one\ntwo\nthree\n');
  });

  it('begins a branch at another revision, without the changes on top of HEAD', async () => {
    await begin();
    await world.git(host, ['tag', 'v1']);
    await writeFile(inHost('a'), 'newer');
    await world.git(host, ['commit', '-q', '-a', '-m', 'second']);
    await writeFile(inHost('a'), 'changed');
    const prepared = await world.prepare<WorkspacePrepared>({ branch: 'try/it', from: 'v1' });
    expect(prepared.base).toBe(await world.git(host, ['rev-parse', 'v1']));
    expect(prepared.notices[0]).toContain('stay behind');
    expect(await world.git(guest, ['symbolic-ref', 'HEAD'])).toBe('refs/heads/try/it');
    expect(await text(inGuest('a'))).toBe('one\ntwo\nthree\n');
  });

  it('is a linked working tree as it is, and a folder’s whole repository', async () => {
    await begin();
    const linked = join(world.root, 'linked');
    await world.git(host, ['worktree', 'add', '-q', '-b', 'linked', linked]);
    await writeFile(join(linked, 'a'), 'in the linked one');
    await mkdir(join(linked, 'sub'));
    const prepared = await world.prepare<WorkspacePrepared>({ path: join(linked, 'sub') });
    expect(prepared).toMatchObject({ repository: linked, branch: 'linked' });
    expect(await text(inGuest('a'))).toBe('in the linked one');
    await writeFile(inGuest('b'), 'x');
    expect((await pull()).changes).toEqual([{ status: 'A', path: 'b' }]);
    expect(await text(join(linked, 'b'))).toBe('x');
  });

  it('may have ids of SHA-256', async () => {
    await world.git(host, ['init', '-q', '-b', 'main', '--object-format=sha256']);
    await writeFile(inHost('a'), 'one\n');
    await world.git(host, ['add', '-A']);
    await world.git(host, ['commit', '-q', '-m', 'first']);
    expect((await world.prepare<WorkspacePrepared>()).base).toMatch(/^[0-9a-f]{64}$/);
    await writeFile(inGuest('a'), 'two\n');
    expect((await exported()).isTried).toBe(true);
    await pull();
    expect(await text(inHost('a'))).toBe('two\n');
  });

  it('has line ends as the repository wants them', async () => {
    await begin({ a: 'one\ntwo\n' });
    await world.git(host, ['config', 'core.autocrlf', 'true']);
    await writeFile(inHost('a'), 'one\r\ntwo\r\n');
    await world.git(host, ['add', 'a']);
    const checked = await world.action<WorkspaceContents>('check', { path: host });
    expect(checked.changes).toEqual([]);
  });

  it('has pointers of LFS for files that are what they point at', async () => {
    const content = 'large content';
    const oid = createHash('sha256').update(content).digest('hex');
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${String(content.length)}\n`;
    await begin({
      '.gitattributes': '*.bin filter=lfs -text\n',
      'x.bin': pointer,
      'y.bin': pointer,
    });
    // As a checkout through LFS's filter leaves them, though git cannot know without it.
    await writeFile(inHost('x.bin'), content);
    await writeFile(inHost('y.bin'), 'really changed');
    const checked = await world.action<WorkspaceContents>('check', { path: host });
    expect(checked.changes).toEqual([{ status: 'M', path: 'y.bin' }]);
    await world.prepare();
    expect(await text(inGuest('x.bin'))).toBe(pointer);
    expect(await text(inGuest('y.bin'))).toBe('really changed');
  });
});

describe('submodules', () => {
  beforeEach(async () => {
    await begin();
    const inner = join(world.root, 'inner');
    await mkdir(inner);
    await world.git(inner, ['init', '-q', '-b', 'main']);
    await writeFile(join(inner, 'file'), 'inner\n');
    await world.git(inner, ['add', '-A']);
    await world.git(inner, ['commit', '-q', '-m', 'inner']);
    await world.git(host, [
      '-c',
      'protocol.file.allow=always',
      'submodule',
      '--quiet',
      'add',
      inner,
      'lib/x',
    ]);
    await world.git(host, ['commit', '-q', '-m', 'with a submodule']);
  });

  it('are refused by name where they do not come along', async () => {
    for (const mode of ['shallow_overlay', 'metadata_only'])
      await expect(world.prepare({ mode })).rejects.toMatchObject({
        code: 'REPOSITORY_UNSUITABLE',
        message: expect.stringContaining("the submodule 'lib/x'") as string,
        remedy: expect.stringContaining('full_copy') as string,
      });
    expect(world.rows.select({})).toEqual([]);
  });

  it('come along in a full copy, with their changes, and run nothing of theirs', async () => {
    const mark = join(world.root, 'ran');
    await world.git(inHost('lib/x'), ['config', 'core.fsmonitor', `touch ${mark}`]);
    await writeFile(inHost('lib/x/file'), 'changed\n');
    const prepared = await world.prepare<WorkspacePrepared>({ mode: 'full_copy' });
    expect(prepared.submodules).toEqual(['lib/x']);
    expect(await text(inGuest('lib/x/file'))).toBe('changed\n');
    expect(await world.git(inGuest('lib/x'), ['status', '--porcelain'])).toBe(' M file');
    await expect(text(mark)).rejects.toMatchObject({ code: 'ENOENT' });
    // What is changed inside of it does not come back, so it is told.
    expect((await status()).unsaved).toBeNull();
    await writeFile(inGuest('lib/x/file'), 'of the guest\n');
    expect(await status()).toMatchObject({
      guest: { changedInside: 1, changes: [] },
      unsaved: expect.stringContaining('inside') as string,
    });
  });

  it('leave nothing in the guest where one of them cannot be packed', async () => {
    const blob = await world.git(inHost('lib/x'), ['rev-parse', 'HEAD:file']);
    await writeFile(inHost('lib/x/file'), 'second\n');
    await world.git(inHost('lib/x'), ['commit', '-q', '-a', '-m', 'second']);
    await rm(inHost(`.git/modules/lib/x/objects/${blob.slice(0, 2)}/${blob.slice(2)}`));
    await expect(world.prepare({ mode: 'full_copy' })).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
    });
    await expect(readdir(guest)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(world.rows.select({})).toEqual([]);
  });

  it('and so are repositories that the guest makes inside', async () => {
    await world.git(host, ['reset', '-q', '--hard', 'HEAD^']);
    await world.prepare();
    await world.git(guest, ['clone', '-q', guest, 'nested']);
    expect(await status()).toMatchObject({ guest: { changedInside: 1 } });
  });
});

describe('a repository that means ill', () => {
  it('runs nothing on the host', async () => {
    await begin({ a: 'one\n', '.gitattributes': '* filter=evil diff=evil merge=evil\n' });
    const mark = join(world.root, 'ran');
    const evil = join(world.root, 'evil');
    await writeFile(evil, `#!/bin/sh\necho "$0 $@" >>${mark}\ncat\n`);
    await chmod(evil, 0o755);
    const hooks = join(host, '.git/hooks');
    await mkdir(hooks, { recursive: true });
    for (const hook of [
      'post-index-change',
      'pre-commit',
      'post-checkout',
      'reference-transaction',
      'post-applypatch',
      'pre-auto-gc',
      'post-merge',
      'post-rewrite',
    ])
      await symlink(evil, join(hooks, hook)).catch(() => undefined);
    const settings: readonly [string, string][] = [
      ['core.fsmonitor', evil],
      ['core.hooksPath', hooks],
      ['core.pager', evil],
      ['core.editor', evil],
      ['core.sshCommand', evil],
      ['core.askPass', evil],
      ['core.alternateRefsCommand', evil],
      ['filter.evil.clean', evil],
      ['filter.evil.smudge', evil],
      ['filter.evil.process', evil],
      ['filter.evil.required', 'true'],
      ['diff.evil.textconv', evil],
      ['diff.evil.command', evil],
      ['diff.external', evil],
      ['merge.evil.driver', evil],
      ['uploadpack.packObjectsHook', evil],
      ['gpg.program', evil],
      ['commit.gpgSign', 'true'],
      ['credential.helper', evil],
      ['alias.diff-tree', `!${evil}`],
    ];
    for (const [key, value] of settings) await world.git(host, ['config', key, value]);
    await rm(mark, { force: true });
    await writeFile(inHost('a'), 'two\n');
    await writeFile(inHost('b'), 'new\n');
    await world.action('check', { path: host, includeUntracked: true });
    await world.prepare({ includeUntracked: true });
    await writeFile(inGuest('a'), 'three\n');
    await writeFile(inGuest('c'), 'of the guest\n');
    await exported();
    await status();
    await pull();
    expect(await text(inHost('a'))).toBe('three\n');
    await expect(text(mark)).rejects.toMatchObject({ code: 'ENOENT' });
    // The trap works: git itself runs it.
    await world.run('git', ['status'], host);
    expect(await text(mark)).toContain('evil');
  });

  it('has no say in which folder is read and written', async () => {
    await begin();
    await world.git(host, ['config', 'core.worktree', world.root]);
    await expect(world.prepare()).rejects.toMatchObject({
      code: 'REPOSITORY_UNSUITABLE',
      message: expect.stringContaining('working tree elsewhere') as string,
    });
    await world.git(host, ['config', '--unset', 'core.worktree']);
    await world.prepare();
    await world.git(host, ['config', 'core.worktree', world.root]);
    await writeFile(inGuest('.bashrc'), 'evil');
    await expect(pull()).rejects.toMatchObject({ code: 'REPOSITORY_UNSUITABLE' });
    expect(await readdir(world.root)).not.toContain('.bashrc');
  });

  it('takes no folder beside itself along', async () => {
    await begin();
    const beside = join(world.root, 'beside');
    await mkdir(beside);
    await world.git(beside, ['init', '-q']);
    await world.git(beside, ['commit', '-q', '--allow-empty', '-m', 'x']);
    const commit = await world.git(beside, ['rev-parse', 'HEAD']);
    const name = 'xx/beside';
    await world.git(host, ['update-index', '--add', '--cacheinfo', `160000,${commit},${name}`]);
    const index = await readFile(inHost('.git/index'), 'latin1');
    const altered = Buffer.from(index.replace(name, '../beside').slice(0, -20), 'latin1');
    const checksum = createHash('sha1').update(altered).digest();
    await writeFile(inHost('.git/index'), Buffer.concat([altered, checksum]));
    await expect(world.prepare({ mode: 'full_copy' })).rejects.toMatchObject({
      code: expect.stringMatching(/REPOSITORY_UNSUITABLE|COMMAND_FAILED/) as string,
    });
    expect(world.rows.select({})).toEqual([]);
  });

  it('has no link or pipe read that it puts in the place of git’s files', async () => {
    await begin();
    await rm(inHost('.git/info'), { recursive: true, force: true });
    await mkdir(inHost('.git/info'));
    await world.run('mkfifo', [inHost('.git/info/exclude')], host);
    await symlink('/etc/passwd', inHost('.git/info/attributes'));
    const { changes } = await world.action<WorkspaceContents>('check', { path: host });
    expect(changes).toEqual([]);
  });

  it('is refused where it is none, is bare, or has what git cannot read', async () => {
    await expect(world.prepare()).rejects.toMatchObject({ code: 'REPOSITORY_UNSUITABLE' });
    await world.git(host, ['init', '-q', '--bare']);
    await expect(world.prepare()).rejects.toMatchObject({
      message: expect.stringContaining('no working tree') as string,
    });
    expect(world.rows.select({})).toEqual([]);
    expect(await readdir(world.state)).toEqual([]);
  });
});

describe('a prepare that fails', () => {
  it('leaves nothing, neither there nor here', async () => {
    await begin();
    await mkdir(guest, { recursive: true });
    await writeFile(inGuest('mine'), 'x');
    await expect(world.prepare()).rejects.toMatchObject({
      code: 'GUEST_FAILED',
      message: expect.stringContaining('is there already') as string,
    });
    expect(await readdir(guest)).toEqual(['mine']);
    expect(world.rows.select({})).toEqual([]);
    expect(await readdir(world.state)).toEqual([]);
  });

  it('says how to mend it where the guest has no git', async () => {
    await world.dispose();
    enter(await GitWorld.create({ guestEnv: { PATH: '/nonexistent' } }));
    await begin();
    await expect(world.prepare()).rejects.toMatchObject({
      message: "there is no git in VM 'box'",
      remedy: expect.stringContaining('apt-get install -y git') as string,
    });
  });

  it('is refused where there is a workspace already, or no running VM', async () => {
    await begin();
    world.power.isOn = false;
    await expect(world.prepare()).rejects.toMatchObject({ code: 'VM_NOT_RUNNING' });
    world.power.isOn = true;
    await world.prepare();
    await expect(world.prepare()).rejects.toMatchObject({ code: 'WORKSPACE_EXISTS' });
  });
});

describe('export', () => {
  it('from another commit has what came after it, and does not count as all', async () => {
    await begin();
    await world.prepare();
    await writeFile(inGuest('b'), 'committed\n');
    await world.git(guest, ['add', '-A']);
    await world.git(guest, ['commit', '-q', '-m', 'in the guest']);
    await writeFile(inGuest('c'), 'not yet\n');
    const after = await world.action<WorkspaceExported>('export', {
      vm: 'box',
      baseCommit: 'HEAD',
    });
    expect(after.isTried).toBe(false);
    const patch = await text(after.patch);
    expect(patch).toContain('b/c');
    expect(patch).not.toContain('b/b');
    expect((await status()).unsaved).toContain('never exported');
    await expect(
      world.action('export', { vm: 'box', baseCommit: 'no-such' }),
    ).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await exported();
    expect((await status()).unsaved).toBeNull();
  });
});

describe('pull', () => {
  it('writes line ends as the working tree has them', async () => {
    await begin({ a: 'one\ntwo\nthree\n' });
    await world.git(host, ['config', 'core.autocrlf', 'true']);
    await rm(inHost('a'));
    await world.git(host, ['checkout', '-q', 'a']);
    expect(await text(inHost('a'))).toBe('one\r\ntwo\r\nthree\r\n');
    await world.prepare();
    await writeFile(inGuest('a'), 'one\nTWO\nthree\n');
    await pull();
    expect(await text(inHost('a'))).toBe('one\r\nTWO\r\nthree\r\n');
    expect(await world.git(host, ['diff', '--stat'])).toContain('2 +-');
  });

  it('keeps what the host has changed, also in the same file, and can be repeated', async () => {
    await begin({ a: 'one\ntwo\nthree\nfour\nfive\nsix\n' });
    await world.prepare();
    await writeFile(inHost('a'), 'ONE\ntwo\nthree\nfour\nfive\nsix\n');
    await writeFile(inGuest('a'), 'one\ntwo\nthree\nfour\nfive\nSIX\n');
    await pull();
    expect(await text(inHost('a'))).toBe('ONE\ntwo\nthree\nfour\nfive\nSIX\n');
    expect((await pull()).changes).toEqual([]);
    await writeFile(inGuest('b'), 'later\n');
    expect((await pull()).changes).toEqual([{ status: 'A', path: 'b' }]);
    expect((await status()).unsaved).toBeNull();
  });

  it('changes and removes what went in untracked, too', async () => {
    await begin();
    await writeFile(inHost('changed'), '1\n');
    await writeFile(inHost('removed'), '1\n');
    await world.prepare({ includeUntracked: true });
    await writeFile(inGuest('changed'), '2\n');
    await rm(inGuest('removed'));
    await pull();
    expect((await readdir(host)).sort()).toEqual(['.git', 'a', 'changed']);
    expect(await text(inHost('changed'))).toBe('2\n');
  });

  it('changes nothing where both have changed the same, or a file of the host is in the way', async () => {
    await begin();
    await writeFile(join(host, '.git/info/exclude'), 'ignored\nbuild/\n');
    await world.prepare();
    const cases: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
      ['a', () => writeFile(inHost('a'), 'mine\n'), () => writeFile(inGuest('a'), 'theirs\n')],
      ['new', () => writeFile(inHost('new'), 'mine'), () => writeFile(inGuest('new'), 'theirs')],
      [
        'ignored',
        () => writeFile(inHost('ignored'), 'mine'),
        () => writeFile(inGuest('ignored'), 'theirs'),
      ],
    ];
    for (const [name, ours, theirs] of cases) {
      await ours();
      await theirs();
      const before = await readTree(host);
      await expect(pull(), name).rejects.toMatchObject({
        code: 'WORKSPACE_CONFLICT',
        message: expect.stringContaining(name) as string,
      });
      expect(await readTree(host)).toEqual(before);
      await rm(inGuest(name));
      if (name === 'a') await world.git(guest, ['checkout', '-q', 'a']);
    }
    await mkdir(inHost('build'));
    await mkdir(inHost('build/empty'));
    await writeFile(inGuest('build'), 'a file where the host has a folder');
    // Written before git comes to that folder, which it knows nothing of; and after.
    await writeFile(inHost('a'), 'one\ntwo\nthree\n');
    await writeFile(inGuest('aaa'), 'x');
    await writeFile(inGuest('zzz'), 'x');
    await writeFile(inGuest('a'), 'changed\n');
    await expect(pull()).rejects.toMatchObject({ code: 'WORKSPACE_CONFLICT' });
    expect((await readdir(host)).sort()).toEqual(['.git', 'a', 'build', 'ignored', 'new']);
    expect(await readdir(inHost('build'))).toEqual(['empty']);
    expect(await text(inHost('a'))).toBe('one\ntwo\nthree\n');
  });

  it('does not follow a symlink that the host has where the guest has a folder', async () => {
    await begin({ a: '1' });
    await world.prepare();
    const outside = join(world.root, 'outside');
    await mkdir(outside);
    await symlink(outside, inHost('dir'));
    await mkdir(inGuest('dir'));
    await writeFile(inGuest('dir/file'), 'evil');
    await expect(pull()).rejects.toMatchObject({ code: 'WORKSPACE_CONFLICT' });
    expect(await readdir(outside)).toEqual([]);
  });
});

describe('a VM’s deletion', () => {
  const loss = async () => (await world.handlers.preDelete?.(world.vm))?.what;
  const stop = () =>
    world.handlers.preStop?.({ ...world.operation, vm: world.vm, runId: 'run-1' }, world.claims());

  it('loses nothing without a workspace, or without a change', async () => {
    expect(await loss()).toBeUndefined();
    await begin();
    await world.prepare();
    expect(await loss()).toContain('has run since');
    await stop();
    expect(await loss()).toBeUndefined();
  });

  it('loses what was not exported', async () => {
    await begin();
    await world.prepare();
    await writeFile(inGuest('a'), 'work');
    await stop();
    expect(await loss()).toContain('never exported');
    await exported();
    await stop();
    expect(await loss()).toBeUndefined();
  });

  it('may lose what nothing is known of any more, and the VM starts all the same', async () => {
    await begin();
    await world.prepare();
    const [folder = ''] = await readdir(world.state);
    await writeFile(join(world.state, folder, 'memory.json'), 'damaged');
    expect(await loss()).toContain('nothing is known');
    const machine = {} as MachineSpec;
    const start = { ...world.operation, vm: world.vm, runId: 'run-1', machine };
    await world.handlers.preStart?.(start, world.claims());
  });

  it('loses commits that are elsewhere in the guest', async () => {
    await begin();
    await world.prepare();
    await world.git(guest, ['checkout', '-q', '-b', 'aside']);
    await writeFile(inGuest('a'), 'aside');
    await world.git(guest, ['commit', '-q', '-a', '-m', 'aside']);
    await world.git(guest, ['checkout', '-q', 'main']);
    expect((await status()).guest).toMatchObject({ commitsElsewhere: 1 });
    await stop();
    expect(await loss()).toContain('1 commit');
  });
});
