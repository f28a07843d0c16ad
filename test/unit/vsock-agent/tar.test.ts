import { createHash, randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Agent } from '../../../capabilities/vsock-agent/agent.ts';
import { packTree } from '../../../core/tar/pack-tree.ts';
import { unpackTree } from '../../../core/tar/unpack-tree.ts';
import type { Unpacked } from '../../../core/tar/unpack-options.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { treeOf } from '../../support/tree-of.ts';
import { buildGuestHandlers, type GuestHandlers } from './guest-handler.ts';

let handlers: GuestHandlers;
let agent: Agent;
let folder: string;

beforeAll(async () => {
  handlers = await buildGuestHandlers();
  agent = handlers.agent();
}, 120_000);
afterAll(() => handlers.dispose());
beforeEach(async () => {
  folder = await tempDir();
});

const signal = new AbortController().signal;
const gib = 1024 ** 3;

const send = (from: string, to: string, name?: string): Promise<void> =>
  agent.untar({ path: to, name, source: packTree(from, { signal }) });

const fetchTree = async (from: string, to: string, name?: string): Promise<Unpacked> => {
  const unpacking = unpackTree({ path: to, name, limitBytes: gib });
  try {
    await agent.tar({ path: from, onData: (chunk) => unpacking.write(chunk) });
    return await unpacking.end();
  } catch (error) {
    await unpacking.abandon();
    throw error;
  }
};

const longName = (letter: string) => letter.repeat(255);

/** Odd and ordinary, all that goes through. */
const makeTree = async (at: string): Promise<void> => {
  await mkdir(join(at, 'deep', longName('d'), longName('e')), { recursive: true });
  await writeFile(join(at, 'empty'), '');
  await writeFile(join(at, 'block'), Buffer.alloc(512, 1));
  await writeFile(join(at, 'more'), randomBytes(100_001), { mode: 0o640 });
  await writeFile(join(at, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(at, 'sealed'), 'x', { mode: 0o400 });
  await writeFile(join(at, 'deep', longName('d'), longName('e'), longName('f')), 'deep');
  await writeFile(join(at, 'line\nbreak and “quotes” ü'), 'odd');
  await writeFile(Buffer.concat([Buffer.from(`${at}/`), Buffer.from([0xff, 0xfe, 0x41])]), 'raw');
  await mkdir(Buffer.concat([Buffer.from(`${at}/`), Buffer.from([0x80]), Buffer.alloc(150, 'x')]));
  await mkdir(join(at, 'empty-folder'), { mode: 0o711 });
  await symlink('more', join(at, 'link'));
  await symlink('/etc/passwd', join(at, 'link-out'));
  await symlink(Buffer.from([0x2e, 0x2f, 0xe9]), join(at, 'link-raw'));
  await symlink(`${longName('l')}/../${longName('m')}`, join(at, 'link-long'));
  await utimes(join(at, 'more'), 1_000_000_000, 1_000_000_000);
};

describe('a folder', () => {
  it('goes in and comes back as it was', async () => {
    await makeTree(join(folder, 'a'));
    await send(join(folder, 'a'), join(folder, 'b', 'c'));
    const sent = await treeOf(join(folder, 'a'));
    expect(Object.keys(sent).length).toBe(17);
    expect(await treeOf(join(folder, 'b', 'c'))).toEqual(sent);
    const back = await fetchTree(join(folder, 'b', 'c'), join(folder, 'd'));
    expect(await treeOf(join(folder, 'd'))).toEqual(sent);
    expect(back).toMatchObject({ kind: 'folder', path: join(folder, 'd'), files: 8 });
    expect((await stat(join(folder, 'd', 'more'))).mtimeMs).toBe(1_000_000_000_000);
    expect(await readdir(folder)).toEqual(['a', 'b', 'd']);
  });

  it('is one that other tars can read', async () => {
    await makeTree(join(folder, 'a'));
    const chunks: Buffer[] = [];
    await agent.tar({ path: join(folder, 'a'), onData: (chunk) => void chunks.push(chunk) });
    await writeFile(join(folder, 'x.tar'), Buffer.concat(chunks));
    const { stdout } = await promisify(execFile)('tar', ['tf', join(folder, 'x.tar')]);
    expect(stdout).toContain(`\ndeep/${longName('d')}/${longName('e')}/${longName('f')}\n`);
  });

  it('goes below one that is there under its name, or into it', async () => {
    await mkdir(join(folder, 'a'));
    await writeFile(join(folder, 'a', 'f'), 'new');
    await mkdir(join(folder, 'there'));
    await writeFile(join(folder, 'there', 'f'), 'old');
    await writeFile(join(folder, 'there', 'kept'), '');
    await send(join(folder, 'a'), join(folder, 'there'), 'a');
    expect(await readFile(join(folder, 'there', 'a', 'f'), 'utf8')).toBe('new');
    await send(join(folder, 'a'), join(folder, 'there'));
    expect(await readFile(join(folder, 'there', 'f'), 'utf8')).toBe('new');
    await fetchTree(join(folder, 'there', 'a'), join(folder, 'there'), 'b');
    expect((await readdir(join(folder, 'there'))).sort()).toEqual(['a', 'b', 'f', 'kept']);
  });

  it('comes back each time, however soon its first entry does', async () => {
    await mkdir(join(folder, 'a'));
    await writeFile(join(folder, 'a', 'f'), 'x');
    const into = join(folder, 'b');
    await mkdir(into);
    for (let time = 0; time < 100; time++) {
      const tar: Buffer[] = [];
      await agent.tar({ path: join(folder, 'a'), onData: (chunk) => void tar.push(chunk) });
      const unpacking = unpackTree({ path: into, name: String(time), limitBytes: gib });
      for (const chunk of tar) await unpacking.write(chunk);
      expect(await unpacking.end()).toMatchObject({ files: 1, bytes: 1 });
    }
    expect((await readdir(into)).length).toBe(100);
  });

  it('leaves sockets and the like out, and says so', async () => {
    await promisify(execFile)('mkfifo', [join(folder, 'pipe')]);
    const notes: string[] = [];
    const onNote = (text: string) => void notes.push(text);
    await agent.tar({ path: folder, onData: () => undefined, onNote });
    for await (const chunk of packTree(folder, { signal, onNote })) expect(chunk).toBeDefined();
    expect(notes).toEqual([
      'pipe: left out: neither file, folder nor symlink',
      'pipe: left out: neither file, folder nor symlink',
    ]);
  });
});

describe('a file', () => {
  it('of 64 MiB goes in and comes back whole', async () => {
    const bytes = randomBytes(64 * 1024 ** 2);
    const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    await writeFile(join(folder, 'a'), bytes);
    await send(join(folder, 'a'), join(folder, 'b'));
    const totals = new Set<number | undefined>();
    const unpacking = unpackTree({
      path: join(folder, 'c'),
      limitBytes: gib,
      onBytes: (_, total) => void totals.add(total),
    });
    await agent.tar({ path: join(folder, 'b'), onData: (chunk) => unpacking.write(chunk) });
    await unpacking.end();
    expect(digest(await readFile(join(folder, 'c')))).toBe(digest(bytes));
    expect([...totals]).toEqual([bytes.length]);
  }, 60_000);

  it('takes a mode, replaces a symlink rather than what it leads to, and keeps out of folders', async () => {
    await writeFile(join(folder, 'a'), 'new', { mode: 0o644 });
    await writeFile(join(folder, 'other'), 'other');
    await symlink('other', join(folder, 'b'));
    const source = packTree(join(folder, 'a'), { signal, fileMode: 0o600 });
    await agent.untar({ path: join(folder, 'b'), source });
    expect((await lstat(join(folder, 'b'))).mode & 0o7777).toBe(0o600);
    expect(await readFile(join(folder, 'other'), 'utf8')).toBe('other');
    await mkdir(join(folder, 'c'));
    await expect(send(join(folder, 'a'), join(folder, 'c'))).rejects.toThrow('Is a directory');
    await expect(fetchTree(join(folder, 'a'), join(folder, 'c'))).rejects.toThrow('is a folder');
    await send(join(folder, 'a'), join(folder, 'c'), 'd');
    expect(await readdir(join(folder, 'c'))).toEqual(['d']);
    // What is sent by a symlink's name is what it leads to.
    await symlink('a', join(folder, 'l'));
    await send(join(folder, 'l'), join(folder, 'e'));
    await fetchTree(join(folder, 'l'), join(folder, 'f'));
    expect(await readFile(join(folder, 'e'), 'utf8')).toBe('new');
    expect(await readFile(join(folder, 'f'), 'utf8')).toBe('new');
  });

  it('of 9 GiB, a hole but for its end, is told with its size', async () => {
    await promisify(execFile)('truncate', ['-s', '9G', join(folder, 'big')]);
    const headers: Buffer[] = [];
    const abort = new AbortController();
    const first = agent.tar({
      path: join(folder, 'big'),
      onData: (chunk) => {
        headers.push(chunk);
        abort.abort(new Error('enough'));
      },
      signal: abort.signal,
    });
    await expect(first).rejects.toThrow('enough');
    const unpacking = unpackTree({ path: join(folder, 'x'), limitBytes: gib });
    await unpacking.write(headers[0] ?? Buffer.alloc(0));
    await expect(unpacking.end()).rejects.toThrow('Unexpected end');
    expect(await readdir(folder)).toEqual(['big']);
  });

  it('that is not there, or no path, is the guest’s own error', async () => {
    await expect(fetchTree(join(folder, 'no'), join(folder, 'x'))).rejects.toThrow('No such file');
    await expect(fetchTree('relative', join(folder, 'x'))).rejects.toThrow('Invalid argument');
    await expect(send(folder, 'relative')).rejects.toThrow('Invalid argument');
    await expect(send(folder, `${folder}/../x`)).rejects.toThrow('Invalid argument');
    await expect(send(folder, folder, '../x')).rejects.toThrow('Invalid argument');
    expect(await readdir(folder)).toEqual([]);
  });
});

type Header = Parameters<ReturnType<typeof pack>['entry']>[0];

const tarOf = async (...entries: readonly (readonly [Header, string?])[]): Promise<Buffer> => {
  const packing = pack();
  for (const [header, content = ''] of entries) packing.entry(header, content);
  packing.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packing as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
};
const root: readonly [Header] = [{ name: '.', type: 'directory', mode: 0o755 }];

describe('what is hostile', () => {
  const takers = {
    'the guest': (tar: Buffer) => agent.untar({ path: join(folder, 'in', 'x'), source: tar }),
    'the host': async (tar: Buffer) => {
      await mkdir(join(folder, 'in'), { recursive: true });
      const unpacking = unpackTree({ path: join(folder, 'in', 'x'), limitBytes: gib });
      try {
        await unpacking.write(tar);
        await unpacking.end();
      } catch (error) {
        await unpacking.abandon();
        throw error;
      }
    },
  };

  describe.each(Object.entries(takers))('to %s', (_, take) => {
    it.each([
      ['an absolute name', [root, [{ name: '/tmp/evil' }, 'x']]],
      ['a name upwards', [root, [{ name: '../evil' }, 'x']]],
      ['a name upwards in the middle', [root, [{ name: 'a/../../evil' }, 'x']]],
      ['a hard link', [root, [{ name: 'hard', type: 'link', linkname: '/etc/passwd' }]]],
      ['a device', [root, [{ name: 'dev', type: 'block-device', devmajor: 8 }]]],
      ['a FIFO', [root, [{ name: 'fifo', type: 'fifo' }]]],
      ['a root that comes twice', [root, root]],
      [
        'something below a file',
        [
          [{ name: '.' }, 'x'],
          [{ name: 'a' }, 'y'],
        ],
      ],
      ['a symlink to nowhere', [root, [{ name: 'a', type: 'symlink', pax: { linkpath: '' } }]]],
    ] as const)('is %s', async (what, entries) => {
      const tar = await tarOf(...(entries as readonly (readonly [Header, string?])[]));
      const taken = take(tar);
      // tar-stream drops an empty record, and the agent then finds the link empty all the same.
      await expect(taken, what).rejects.toThrow();
      expect(await readdir(folder)).toEqual(['in']);
    });

    it('does not write through a symlink that came before, or was there', async () => {
      await mkdir(join(folder, 'outside'));
      const link: readonly [Header] = [{ name: 'a', type: 'symlink', linkname: '../../outside' }];
      const file: readonly [Header, string] = [{ name: 'a/evil' }, 'x'];
      await take(await tarOf(root, link, file)).catch(() => undefined);
      await take(await tarOf(root, link)).catch(() => undefined);
      await take(await tarOf(root, file)).catch(() => undefined);
      expect(await readdir(join(folder, 'outside'))).toEqual([]);
    });

    it('has a size that is no number', async () => {
      const tar = await tarOf(root, [{ name: 'a' }, 'content']);
      // Base 256 has 0x80 or 0xff there.
      tar[512 + 124] = 0xa8;
      correctSums(tar);
      await expect(take(tar)).rejects.toThrow();
    });

    it('is cut off, or nothing at all', async () => {
      const whole = await tarOf(root, [{ name: 'a' }, 'content']);
      await expect(take(whole.subarray(0, 1026))).rejects.toThrow();
      await expect(take(whole.subarray(0, 700))).rejects.toThrow();
      await expect(take(Buffer.alloc(0))).rejects.toThrow('empty');
      await expect(take(Buffer.alloc(1024))).rejects.toThrow('empty');
      await expect(take(randomBytes(2048))).rejects.toThrow();
    });

    it('never writes outside, whatever bytes come', async () => {
      const seed = await tarOf(
        root,
        [{ name: 'a/b' }, 'content'],
        [{ name: 'ü'.repeat(80) }, 'more'],
        [{ name: 'l', type: 'symlink', linkname: '/' }],
      );
      const change = fc.tuple(fc.nat(seed.length - 1), fc.nat(255));
      const kinds = new Set<string>();
      await fc.assert(
        fc.asyncProperty(fc.array(change, { maxLength: 6 }), fc.boolean(), async (changes, sum) => {
          const tar = Buffer.from(seed);
          for (const [at, value] of changes) tar[at] = value;
          if (sum) correctSums(tar);
          kinds.add(
            await take(tar).then(
              () => 'taken',
              () => 'refused',
            ),
          );
          expect(await readdir(folder)).toEqual(['in']);
          await rm(join(folder, 'in'), { recursive: true });
        }),
        { numRuns: 150 },
      );
      expect([...kinds].sort()).toEqual(['refused', 'taken']);
    }, 60_000);
  });

  it('of more than the limit is refused, and nothing stays', async () => {
    await writeFile(join(folder, 'a'), Buffer.alloc(100_000));
    const unpacking = unpackTree({ path: join(folder, 'b'), limitBytes: 50_000 });
    const sending = agent.tar({ path: join(folder, 'a'), onData: (c) => unpacking.write(c) });
    await expect(sending).rejects.toMatchObject({
      code: 'GUEST_FAILED',
      message: 'the guest sends more than 48.8K',
    });
    await unpacking.abandon();
    expect(await readdir(folder)).toEqual(['a']);
  });

  it('gets no setuid, and no folder that its owner could not use', async () => {
    await mkdir(join(folder, 'a', 'locked'), { recursive: true });
    await writeFile(join(folder, 'a', 'suid'), '');
    await chmod(join(folder, 'a', 'suid'), 0o4755);
    await chmod(join(folder, 'a', 'locked'), 0o500);
    await fetchTree(join(folder, 'a'), join(folder, 'b'));
    expect((await stat(join(folder, 'b', 'suid'))).mode & 0o7777).toBe(0o755);
    expect((await stat(join(folder, 'b', 'locked'))).mode & 0o7777).toBe(0o700);
  });

  it('that leads out by a symlink is told of, and stays a symlink', async () => {
    await mkdir(join(folder, 'a', 's'), { recursive: true });
    await symlink('../../x', join(folder, 'a', 's', 'out'));
    await symlink('../x', join(folder, 'a', 's', 'in'));
    const notes: string[] = [];
    const onNote = (text: string) => void notes.push(text);
    const unpacking = unpackTree({ path: join(folder, 'b'), limitBytes: gib, onNote });
    await agent.tar({ path: join(folder, 'a'), onData: (chunk) => unpacking.write(chunk) });
    await unpacking.end();
    expect(notes).toEqual(['s/out is a symlink that leads out of the folder']);
    expect(await readlink(join(folder, 'b', 's', 'out'))).toBe('../../x');
  });
});

/** So that changes get past the checksum, at which most of them would end. */
const correctSums = (tar: Buffer): void => {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    if (tar.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    tar.fill(' ', at + 148, at + 156);
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
};
