import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from './support/events.ts';
import { pollUntil } from './support/poll.ts';
import { createWorld, smallVms, type World } from './support/world.ts';

let world: World;
let home: string;
const folderOf = (name: string): string => join(home, name);

const entry = (host: string, guest: string, mode?: string): string =>
  `[[file_sync]]\nhost = "${host}"\nguest = "${guest}"\n${mode === undefined ? '' : `mode = "${mode}"\n`}`;

const entries =
  entry('~/.gitconfig', '~/.gitconfig') +
  entry('~/conf', '/root/.config/conf', '0600') +
  entry('~/missing', '~/missing') +
  entry('~/script', '~/bin/script', '0755');

const use = async (toml: string): Promise<void> => {
  await world.writeConfig(smallVms + toml);
  await world.ok(['daemon', 'restart']);
};

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'bge-home-'));
  // Of whoever starts the daemon. The images are those of the user who runs the tests.
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  world = await createWorld({
    config: smallVms + entries,
    env: { HOME: home, XDG_CACHE_HOME: cache },
  });
  await mkdir(join(home, 'conf', 'sub'), { recursive: true });
  await writeFile(folderOf('.gitconfig'), '[user]\n\tname = Me\n', { mode: 0o644 });
  await writeFile(folderOf('script.real'), '#!/bin/sh\necho hello\n');
  await symlink('script.real', folderOf('script'));
  await writeFile(folderOf('conf/sub/run'), 'x');
  await chmod(folderOf('conf/sub/run'), 0o750);
  await writeFile(folderOf('secret'), 'not for guests');
  await symlink('../secret', folderOf('conf/link'));
});
afterAll(async () => {
  await world.dispose();
  await rm(home, { recursive: true });
});

it('a failure takes a create back: no VM is kept', async () => {
  await use(entry('~/script', '~/x') + entry('~/script', '~/x/y'));
  const failed = await world.cli(['vm', 'create', 'never']);
  expect(failed.code).toBe(125);
  expect(failed.stderr).toMatch(
    /step 'file_sync\.1' of 'file-sync' failed: \S+\/script: .*Not a directory; the VM was not kept/,
  );
  expect(await world.list()).toEqual([]);
});

it('files are in a new guest, root’s and with their modes; what is missing is named', async () => {
  await use(entries);
  const created = await world.cli(['vm', 'create', 'box']);
  expect(created.code).toBe(0);
  expect(created.stderr).toContain('file-sync: ~/missing is not there, and was left out');
  for (const stage of ['~/.gitconfig', '~/conf', '~/script'])
    expect(created.stderr).toMatch(new RegExp(`^file-sync: ${stage}: done`, 'm'));
  const listed = await world.guest(
    'box',
    'cd /root; stat -c "%a %u:%g %F %N" .gitconfig .config/conf/sub .config/conf/sub/run .config/conf/link bin/script',
  );
  expect(listed.split('\n')).toEqual([
    "600 0:0 regular file '.gitconfig'",
    "755 0:0 directory '.config/conf/sub'",
    "750 0:0 regular file '.config/conf/sub/run'",
    "777 0:0 symbolic link '.config/conf/link' -> '../secret'",
    "755 0:0 regular file 'bin/script'",
  ]);
  expect(await world.guest('box', '/root/bin/script; git config user.name')).toBe('hello\nMe');
  expect(await world.guest('box', 'ls /root/secret /root/.config/secret 2>&1 | wc -l')).toBe('2');
  expect((await world.show('box')).conditions).toEqual([]);
});

it('each start brings what is on the host then, over what the guest has changed', async () => {
  await world.guest('box', 'echo mine > /root/.gitconfig; echo kept > /root/.config/conf/other');
  await writeFile(folderOf('.gitconfig'), '[user]\n\tname = You\n');
  await world.ok(['vm', 'restart', 'box']);
  expect(await world.guest('box', 'git config user.name; cat /root/.config/conf/other')).toBe(
    'You\nkept',
  );
});

it('a failure on a later start leaves the VM up, unprovisioned, with the entry named', async () => {
  await world.guest('box', 'rm /root/.gitconfig; mkdir /root/.gitconfig');
  const failed = await world.cli(['vm', 'restart', 'box']);
  expect(failed.code).toBe(125);
  expect(failed.stderr).toMatch(
    /'file_sync\.0' of 'file-sync' failed: \S+\/\.gitconfig: .*Is a dir/,
  );
  expect(await world.show('box')).toMatchObject({
    state: 'running',
    conditions: [
      { kind: 'unprovisioned', detail: expect.stringContaining('file_sync.0') as string },
    ],
  });
  await world.guest('box', 'rmdir /root/.gitconfig');
});

it('a daemon that dies while it provisions leaves that told, and the next start does the rest', async () => {
  const plugin = join(world.root, 'c', 'slow');
  await mkdir(plugin);
  await writeFile(
    join(plugin, 'package.json'),
    JSON.stringify({ name: 'slow', type: 'module', exports: './index.js' }),
  );
  await writeFile(
    join(plugin, 'index.js'),
    `import { defineCapability, z } from 'banger/plugin-api';
     const step = (id, script) => ({ id, summary: id, when: 'once', kind: 'script', script });
     export default defineCapability({ id: 'slow', summary: 'waits', config: z.strictObject({}),
       setup: () => ({ provision: async () => [
         step('first', 'echo x >> /root/first'),
         step('second', 'touch /root/began; until [ -e /root/go ]; do sleep 0.1; done; echo x >> /root/second'),
       ] }) });`,
  );
  await use(`${entries}[[plugins]]\npath = "slow"\n`);
  await world.ok(['vm', 'stop', 'box']);
  const { body } = await world.api('POST', '/v1/vms/box/start');
  const { operation } = body as { operation: { id: string } };
  // The second begins when the first is on record.
  await pollUntil('the second step', 120_000, async () =>
    (await world.cli(['vm', 'exec', '-n', 'box', '--', 'ls', '/root/began'])).code === 0
      ? true
      : undefined,
  );
  await world.killDaemon();
  expect(await world.show('box')).toMatchObject({
    state: 'running',
    conditions: [{ kind: 'unprovisioned', detail: 'provisioning was not completed' }],
  });
  const story = await readEvents(world, operation.id);
  expect(story.at(-1)).toMatchObject({ operation: { error: { code: 'INTERRUPTED' } } });
  await world.guest('box', 'touch /root/go');
  await world.ok(['vm', 'restart', 'box']);
  expect(await world.guest('box', 'cat /root/first /root/second')).toBe('x\nx');
  expect((await world.show('box')).conditions).toEqual([]);
});

it('a work disk that holds only a nested root/ is lifted at the next start', async () => {
  await world.ok(['vm', 'stop', 'box']);
  const { path } = (await world.show('box')).capabilities['work-disk'] as { path: string };
  const content = join(world.root, 'disk');
  await mkdir(join(content, 'root', 'deep', 'er'), { recursive: true });
  await writeFile(join(content, 'root', 'note'), 'from before\n');
  await writeFile(join(content, 'root', 'go'), '');
  // Into the same file, which is what the VM's record knows.
  await promisify(execFile)('mkfs.ext4', ['-q', '-F', '-d', content, path], {
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  await rm(content, { recursive: true });
  await world.ok(['vm', 'start', 'box']);
  const found = await world.guest('box', 'cat /root/note; ls -d /root/deep/er; ls -A /root');
  expect(found.split('\n').sort()).toEqual(
    ['from before', '/root/deep/er']
      .concat(['.config', '.gitconfig', '.ssh', 'bin', 'deep', 'go', 'lost+found', 'note'])
      .sort(),
  );
});
