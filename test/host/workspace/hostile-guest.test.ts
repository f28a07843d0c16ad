import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkspaceStatus } from '../../../capabilities/workspace/contract.ts';
import { readTree } from './support/files.ts';
import { GitWorld } from './support/git-world.ts';

let world: GitWorld;

beforeEach(async () => {
  world = await GitWorld.create({ config: { max_patch: 1 } });
  const { host } = world;
  await world.git(host, ['init', '-q', '-b', 'main']);
  await writeFile(join(host, 'a'), 'one\n');
  await world.git(host, ['add', '-A']);
  await world.git(host, ['commit', '-q', '-m', 'first']);
  await world.prepare();
});
afterEach(() => world.dispose());

/** From now on the guest's git says this where it is asked for differences. */
const say = async (answer: string | Buffer): Promise<void> => {
  const path = join(world.root, 'answer');
  await writeFile(path, answer);
  const real = (await world.run('which', ['git'], world.root)).stdout.toString().trim();
  await world.putGuestProgram(
    'git',
    `case "$*" in *diff-tree*) exec cat '${path}' ;; esac\nexec '${real}' "$@"\n`,
  );
};

const newFile = (path: string, mode = '100644', content = 'evil'): string =>
  `diff --git a/${path} b/${path}\nnew file mode ${mode}\nindex 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111\n` +
  `--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+${content}\n\\ No newline at end of file\n`;

/** All that is of this world but the guest's and the capability's own. */
const everything = async (): Promise<Map<string, string>> =>
  new Map(
    [...(await readTree(world.root))].filter(
      ([name]) => !/^(state|guest|guest-bin|lock|answer)(\/|$)/.test(name),
    ),
  );

const refused = async (code: string): Promise<void> => {
  const before = await everything();
  const index = await readFile(join(world.host, '.git/index'));
  for (const action of ['export', 'pull'])
    await expect(world.action(action, { vm: 'box' }), action).rejects.toMatchObject({ code });
  expect(await everything()).toEqual(before);
  expect(await readFile(join(world.host, '.git/index'))).toEqual(index);
};

describe('a patch that a guest has made up', () => {
  it.each([
    ['leads outside', newFile('../../outside')],
    ['leads outside from within', newFile('a/../../../outside')],
    ['leads to the root', newFile('/tmp/banger-evil')],
    ['leads into .git', newFile('.git/hooks/post-checkout', '100755')],
    ['leads into .git of a folder', newFile('sub/.git/config')],
    ['leads into .git by another case', newFile('.GIT/config')],
    [
      'leads through a symlink of its own',
      newFile('link', '120000', '/tmp') + newFile('link/evil'),
    ],
    ['is no patch', 'rm -rf /\n'],
    ['is cut off', newFile('b').slice(0, -60)],
    ['is of another base', `diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-never\n+there\n`],
  ])('%s: it is refused, and nothing is written', async (_what, patch) => {
    await say(patch);
    await refused('GUEST_DATA');
  });

  it('that is too large is not listened to any more', async () => {
    await say('x'.repeat(2 * 1024 ** 2));
    await refused('WORKSPACE_TOO_LARGE');
  });

  it('that unfolds to more than is allowed is refused before it does', async () => {
    await say(binary('literal', 3_000_000_000, Buffer.alloc(100)));
    await refused('WORKSPACE_TOO_LARGE');
  });

  it('that hides how much it unfolds to costs no more memory than there is for it', async () => {
    // A delta whose header says that a terabyte comes of it (gitformat-pack(5)).
    const old = Buffer.from('one\n');
    const delta = Buffer.concat([varint(old.length), varint(1024 ** 4), Buffer.of(0x90, 4)]);
    await say(binary('delta', delta.length, delta));
    await refused('GUEST_DATA');
  });
});

it('a guest that sends something else is said to', async () => {
  await world.putGuestProgram('git', 'echo nonsense; exit 0\n');
  await refused('GUEST_DATA');
});

it('a guest’s words cannot move a terminal’s cursor', async () => {
  await say('M\t\u001b[2J\u001b]0;title\u0007\nM\tok\n');
  const { guest } = await world.action<WorkspaceStatus>('status', { vm: 'box' });
  expect(guest?.changes).toEqual([{ status: 'M', path: 'ok' }]);
});

it('a guest whose repository is gone is said to, and the host stays as it is', async () => {
  await world.run('mv', [world.guestPath, `${world.guestPath}-away`], world.root);
  await refused('GUEST_FAILED');
  const { guest, guestError } = await world.action<WorkspaceStatus>('status', { vm: 'box' });
  expect([guest, guestError]).toEqual([null, expect.stringContaining('no repository')]);
});

it('leaves no scratch behind', async () => {
  await mkdir(join(world.root, 'x'));
  await world.action('check', { path: world.host });
  const left = await readdir(world.state);
  expect(left.filter((name) => !name.startsWith('workspace-'))).toEqual([]);
});

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
};

const base85 =
  '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~';

/** git's binary patch, one line of it: at most 52 bytes. */
const binary = (kind: 'literal' | 'delta', size: number, content: Buffer): string => {
  const packed = deflateSync(content).subarray(0, 52);
  const length = String.fromCharCode(packed.length <= 26 ? 64 + packed.length : 70 + packed.length);
  let line = length;
  for (let at = 0; at < packed.length; at += 4) {
    let word = 0;
    for (let byte = 0; byte < 4; byte++) word = word * 256 + (packed[at + byte] ?? 0);
    let digits = '';
    for (let digit = 0; digit < 5; digit++) {
      digits = (base85[word % 85] ?? '') + digits;
      word = Math.floor(word / 85);
    }
    line += digits;
  }
  return (
    'diff --git a/a b/a\nindex 5626abf0f72e58d7a153368ba57db4c673c0e171..2222222222222222222222222222222222222222 100644\n' +
    `GIT binary patch\n${kind} ${String(size)}\n${line}\n\n`
  );
};
