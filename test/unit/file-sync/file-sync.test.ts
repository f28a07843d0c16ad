import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveEntry } from '../../../capabilities/file-sync/entries.ts';
import { fileSyncCapability } from '../../../capabilities/file-sync/index.ts';
import { fileSyncSteps } from '../../../capabilities/file-sync/steps.ts';
import { ConfigFile } from '../../../core/config/settings.ts';
import { tempDir } from '../../support/temp-dir.ts';

const installed = [{ capability: fileSyncCapability, mayBeOff: true }];

const read = (text: string | undefined): unknown =>
  new ConfigFile('/c.toml', text).forCapabilities(installed, true).settings.get('file-sync');

const entry = (host: string, guest: string, mode?: string): string =>
  `[[file_sync]]\nhost = ${JSON.stringify(host)}\nguest = ${JSON.stringify(guest)}\n` +
  (mode === undefined ? '' : `mode = ${mode}\n`);

describe('[[file_sync]]', () => {
  it('has no entries where nothing is written', () => {
    expect(read(undefined)).toEqual([]);
    expect(read('vmm = "auto"')).toEqual([]);
  });

  it.each([
    ['~/.gitconfig', '~/.gitconfig', undefined, '/home/me/.gitconfig', '/root/.gitconfig', 0o600],
    ['~/a//b/', '/root/./c/', '"755"', '/home/me/a/b', '/root/c', 0o755],
    ['/etc/x', '~/..x/y..', '"0400"', '/etc/x', '/root/..x/y..', 0o400],
    ['~/~user', '/root/~', '"000"', '/home/me/~user', '/root/~', 0],
  ])('takes %s to %s', (host, guest, mode, source, path, fileMode) => {
    const [first] = fileSyncCapability.config.parse(read(entry(host, guest, mode))) as [
      Parameters<typeof resolveEntry>[0],
    ];
    expect(resolveEntry(first, '/home/me')).toEqual({ source, path, fileMode });
  });

  const good = entry('~/a', '~/a');
  it.each([
    ['an empty host', entry('', '~/a'), '/c.toml:5: file_sync.1.host: "" is not allowed'],
    ['a relative host', entry('a/b', '~/a'), 'file_sync.1.host: "a/b" is not allowed'],
    ['a bare home', entry('~', '~/a'), 'file_sync.1.host: "~"'],
    ['all of the home', entry('~/', '~/a'), 'file_sync.1.host: "~/"'],
    ['the whole host', entry('/', '~/a'), 'file_sync.1.host: "/"'],
    ['another’s home', entry('~bob/x', '~/a'), 'file_sync.1.host: "~bob/x"'],
    ['a host upwards', entry('~/../x', '~/a'), 'file_sync.1.host: "~/../x"'],
    ['a host upwards at the end', entry('/x/..', '~/a'), 'file_sync.1.host: "/x/.."'],
    ['a NUL', entry('/x\u0000y', '~/a'), 'file_sync.1.host:'],
    ['an empty guest', entry('~/a', ''), '/c.toml:6: file_sync.1.guest: "" is not allowed'],
    ['a guest elsewhere', entry('~/a', '/etc/x'), 'file_sync.1.guest: "/etc/x"'],
    ['a guest beside', entry('~/a', '/rooted/x'), 'file_sync.1.guest: "/rooted/x"'],
    ['a guest upwards', entry('~/a', '/root/../x'), 'file_sync.1.guest: "/root/../x"'],
    ['all of root', entry('~/a', '/root/'), 'file_sync.1.guest: "/root/"'],
    ['another’s home in the guest', entry('~/a', '~bob/x'), 'file_sync.1.guest: "~bob/x"'],
    ['a relative guest', entry('~/a', 'x'), 'file_sync.1.guest: "x"'],
    ['no octal mode', entry('~/a', '~/a', '"0800"'), '/c.toml:7: file_sync.1.mode: "0800"'],
    ['setuid', entry('~/a', '~/a', '"4755"'), 'file_sync.1.mode: "4755"'],
    ['a short mode', entry('~/a', '~/a', '"60"'), 'file_sync.1.mode: "60"'],
    ['a mode of words', entry('~/a', '~/a', '"u=rw"'), 'file_sync.1.mode: "u=rw"'],
    ['a mode that is a number', entry('~/a', '~/a', '600'), 'file_sync.1.mode: 600'],
    ['no guest', '[[file_sync]]\nhost = "~/a"\n', 'file_sync.1.guest: expected: string'],
    [
      'an unknown key',
      `${good}modes = "0600"\n`,
      "file_sync.1.modes: unknown key; did you mean 'mode'?",
    ],
  ])('refuses %s, with the entry’s number', (_, text, expected) => {
    expect(() => read(good + text)).toThrow(expected);
  });

  it('refuses a table in the list’s place', () => {
    expect(() => read('[file_sync]\nhost = "~/a"')).toThrow('/c.toml:1: file_sync: ');
    expect(() => read('[[filesync]]\nhost = "~/a"')).toThrow("did you mean 'file_sync'?");
  });
});

describe('the steps', () => {
  it('are one for each entry, and a notice for what is not there', async () => {
    const home = await tempDir();
    await writeFile(join(home, 'file'), '');
    await mkdir(join(home, 'folder'));
    await symlink('file', join(home, 'link'));
    await symlink('nowhere', join(home, 'dangling'));
    const hosts = ['~/file', '~/folder', '~/link', '~/dangling', '~/none', '~/file/below'];
    const steps = await fileSyncSteps(
      hosts.map((host) => ({ host, guest: '~/x', mode: '0640' })),
      home,
    );
    const tree = (index: number, name: string) => ({
      id: `file_sync.${String(index)}`,
      when: 'start',
      kind: 'tree',
      required: true,
      summary: `~/${name}`,
      source: join(home, name),
      path: '/root/x',
      fileMode: 0o640,
    });
    expect(steps.slice(0, 3)).toEqual([tree(0, 'file'), tree(1, 'folder'), tree(2, 'link')]);
    expect(steps.slice(3).map(({ kind, summary }) => [kind, summary])).toEqual([
      ['notice', '~/dangling is not there, and was left out (file_sync.3 in config.toml)'],
      ['notice', '~/none is not there, and was left out (file_sync.4 in config.toml)'],
      ['notice', '~/file/below is not there, and was left out (file_sync.5 in config.toml)'],
    ]);
  });
});
