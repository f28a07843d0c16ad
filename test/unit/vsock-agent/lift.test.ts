import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';
import { treeOf } from '../../support/tree-of.ts';

const run = promisify(execFile);
const guest = new URL('../../../capabilities/vsock-agent/guest', import.meta.url).pathname;

/** `lift FOLDER [N]`: does it, or ends by a signal at the N-th rename. */
const main = `
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lift.h"
static int left = -1;
static void count(void) { if (left >= 0 && left-- == 0) raise(SIGKILL); }
int renameat2(int a, const char *b, int c, const char *d, unsigned e) {
  count();
  return syscall(SYS_renameat2, a, b, c, d, e);
}
int renameat(int a, const char *b, int c, const char *d) {
  count();
  return syscall(SYS_renameat2, a, b, c, d, 0);
}
int main(int argc, char **argv) {
  if (argc > 2) left = atoi(argv[2]);
  return lift_nested(argv[1]) ? 0 : 1;
}
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bgr-lift-'));
  await writeFile(join(folder, 'main.c'), main);
  const sources = [
    join(folder, 'main.c'),
    ...['lift', 'log', 'fs', 'clock'].map((name) => `${guest}/${name}.c`),
  ];
  const flags = ['-D_GNU_SOURCE', '-fsanitize=address,undefined', `-I${guest}`];
  await run('cc', [...flags, '-o', join(folder, 'lift'), ...sources]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

const lift = (path: string, ...killedAt: readonly string[]) =>
  run(join(folder, 'lift'), [path, ...killedAt]);

const nested = async (): Promise<string> => {
  const disk = await tempDir();
  await mkdir(join(disk, 'lost+found'), { mode: 0o700 });
  await mkdir(join(disk, 'root', '.ssh'), { recursive: true, mode: 0o700 });
  await mkdir(join(disk, 'root', 'lost+found'), { mode: 0o700 });
  await chmod(join(disk, 'root'), 0o710);
  for (const name of ['.bashrc', 'a', 'root', '.ssh/key', 'z'])
    await writeFile(join(disk, 'root', name), name, { mode: 0o600 });
  return disk;
};

const names = async (disk: string) => Object.keys(await treeOf(disk)).sort();
const lifted = ['.bashrc', '.ssh', '.ssh/key', 'a', 'lost+found', 'root', 'z'];

describe('a work disk that holds only a nested root/', () => {
  it('is lifted one level, with the mode of that folder', async () => {
    const disk = await nested();
    await lift(disk);
    expect(await names(disk)).toEqual(lifted);
    expect((await stat(disk)).mode & 0o7777).toBe(0o710);
    await lift(disk);
    expect(await names(disk)).toEqual(lifted);
  });

  it('is lifted whole, wherever the first try was killed', async () => {
    let killed = 0;
    for (let at = 0; ; at++) {
      const disk = await nested();
      const isKilled = await lift(disk, String(at)).then(
        () => false,
        (error: unknown) =>
          error instanceof Error && 'signal' in error && error.signal === 'SIGKILL',
      );
      if (!isKilled) break;
      killed += 1;
      await lift(disk);
      expect(await names(disk), `killed at rename ${at}`).toEqual(lifted);
    }
    expect(killed).toBe(6);
  });
});

describe('any other work disk', () => {
  it('stays as it is', async () => {
    const disk = await nested();
    await writeFile(join(disk, '.profile'), '');
    const before = await treeOf(disk);
    await lift(disk);
    expect(await treeOf(disk)).toEqual(before);
    const empty = await tempDir();
    await lift(empty);
    expect(await names(empty)).toEqual([]);
    await writeFile(join(empty, 'root'), 'a file');
    await lift(empty);
    expect(await names(empty)).toEqual(['root']);
  });

  it('keeps what stands in the way, and all else comes up', async () => {
    const disk = await nested();
    await lift(disk, '2').catch(() => undefined);
    await writeFile(join(disk, 'z'), 'mine').catch(() => undefined);
    await rm(join(disk, '.banger-lift', 'z'), { force: true });
    await writeFile(join(disk, '.banger-lift', 'z'), 'theirs');
    await expect(lift(disk)).rejects.toThrow('z cannot be moved up: File exists');
    expect((await names(disk)).filter((name) => !name.startsWith('.banger-lift'))).toEqual(lifted);
  });
});
