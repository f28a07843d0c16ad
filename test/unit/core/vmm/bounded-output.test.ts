import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needsRoot } from '../../../support/reasons.ts';
import { itUnless } from '../../../support/skip.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const source = join(
  import.meta.dirname,
  '..',
  '..',
  '..',
  '..',
  'core',
  'vmm',
  'process',
  'native',
);

let build: string;
let program: string;
let folder: string;

beforeAll(async () => {
  build = await mkdtemp(join(tmpdir(), 'bgr-t-'));
  await promisify(execFile)('make', [
    '-s',
    '-C',
    source,
    `OUT=${build}`,
    join(build, 'bounded-output'),
  ]);
  program = join(build, 'bounded-output');
}, 60_000);

afterAll(() => rm(build, { recursive: true }));

beforeEach(async () => {
  folder = await tempDir();
});

/** Runs a script whose descriptor 3 is its console, up to the end of both it and the writer. */
const run = async (
  script: string,
  limit = 1000,
  options: readonly string[] = [],
): Promise<number | null> => {
  const args = [...options, String(limit), 'console.log', 'vmm.log', '/bin/sh', '-c', script];
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  // The writer holds this pipe open as long as it lives, the program only its end of its own.
  const writer = once(child.stdio[3] ?? child, 'close');
  child.stdio[3]?.on('data', () => undefined);
  const [[code]] = (await Promise.all([once(child, 'exit'), writer])) as [[number | null], unknown];
  return code;
};

const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
const sizeOf = async (name: string): Promise<number> => (await stat(join(folder, name))).size;

describe('bounded-output', () => {
  it('becomes the program, and keeps its three ways of speaking apart', async () => {
    expect(await run('echo console >&3; echo out; echo err >&2; exit 7')).toBe(7);
    expect(await read('console.log')).toBe('console\n');
    expect(await read('vmm.log')).toBe('out\nerr\n');
    expect((await readdir(folder)).sort()).toEqual(['console.log', 'vmm.log']);
  });

  it('keeps the newest of a flood, whole, in two files of the size at most', async () => {
    await run('seq 1 200000 >&3; seq 1 200000', 50_000);
    const whole = Array.from({ length: 200_000 }, (_, index) => `${String(index + 1)}\n`).join('');
    for (const name of ['console.log', 'vmm.log']) {
      expect(await sizeOf(`${name}.1`)).toBe(50_000);
      expect(await sizeOf(name)).toBeLessThanOrEqual(50_000);
      const kept = (await read(`${name}.1`)) + (await read(name));
      expect(whole.endsWith(kept)).toBe(true);
    }
    expect((await readdir(folder)).length).toBe(4);
  });

  it('begins the console anew, and goes on with the log, within the bound', async () => {
    for (const name of ['console.log', 'console.log.1'])
      await writeFile(join(folder, name), 'old\n');
    await writeFile(join(folder, 'vmm.log'), 'x'.repeat(2_500));
    await run('echo new >&3; echo said');
    expect(await read('console.log')).toBe('new\n');
    expect(await readdir(folder)).not.toContain('console.log.1');
    expect(await read('vmm.log')).toBe('said\n');
    await run('echo again');
    expect(await read('vmm.log')).toBe('said\nagain\n');
  });

  it('keeps the bound where it cannot move a file away', async () => {
    await mkdir(join(folder, 'vmm.log.1'));
    await run('seq 1 100000', 10_000);
    expect(await sizeOf('vmm.log')).toBeLessThanOrEqual(10_000);
    expect(await read('vmm.log')).toMatch(/100000\n$/);
  });

  it('loses what a full disk does not take, and goes on', async () => {
    // Every write to it fails with ENOSPC, full(4).
    await symlink('/dev/full', join(folder, 'console.log'));
    expect(await run('seq 1 100000 >&3; echo out; exit 4')).toBe(4);
    expect(await read('vmm.log')).toBe('out\n');
  });

  it('is no part of the program’s fate: that goes on though the writer was killed', async () => {
    // The program's only child is the writer.
    const script = `
      trap '' PIPE
      kill -9 $(cat /proc/$$/task/$$/children | cut -d ' ' -f 1)
      echo lost >&3; echo lost >&3; exit 3`;
    expect(await run(script)).toBe(3);
  });

  it('has the program speak by FIFOs in a room, and ends with it though they have no end', async () => {
    await mkdir(join(folder, 'room'));
    const options = ['-m', 'metrics.log', '-r', 'room'];
    const script = 'echo 1 >console; echo metrics >metrics; pwd; echo 2 >console; ls; exit 7';
    expect(await run(script, 1000, options)).toBe(7);
    expect(await read('console.log')).toBe('1\n2\n');
    expect(await read('metrics.log')).toBe('metrics\n');
    expect(await read('vmm.log')).toMatch(/\/room\nconsole\nmetrics\n$/);
    await rm(join(folder, 'room'), { recursive: true });
    await mkdir(join(folder, 'room'));
    // Nobody ever opens them; and what is in them is there for the writer after its end.
    expect(await run('exit 3', 1000, options)).toBe(3);
    await rm(join(folder, 'room'), { recursive: true });
    await mkdir(join(folder, 'room'));
    await run('seq 1 10000 >console', 100_000, options);
    expect(await read('console.log')).toMatch(/^1\n[^]*\n10000\n$/);
  });

  it('does not take a room with something in the FIFOs’ place', async () => {
    await mkdir(join(folder, 'room'));
    await symlink('/dev/null', join(folder, 'room', 'console'));
    expect(await run('exit 0', 1000, ['-r', 'room'])).toBe(125);
  });

  itUnless(
    needsRoot(),
    'becomes another user, for good, who has the FIFOs and no more',
    async () => {
      const room = join(folder, 'room');
      await mkdir(room, { mode: 0o700 });
      await chown(room, 2_100_000_007, 2_100_000_007);
      await writeFile(join(folder, 'secret'), '');
      const script = `
      id -u; id -G; grep -E '^(CapPrm|CapEff|NoNewPrivs)' /proc/self/status
      echo console >console; echo anew >/proc/self/fd/1; : >made
      ls .. 2>/dev/null || echo closed`;
      const user = '2100000007:2100000007:123';
      expect(await run(script, 1000, ['-r', 'room', '-u', user])).toBe(0);
      expect(await read('vmm.log')).toBe(
        `2100000007\n2100000007 123\nCapPrm:\t${'0'.repeat(16)}\nCapEff:\t${'0'.repeat(16)}\n` +
          'NoNewPrivs:\t1\nanew\nclosed\n',
      );
      expect(await read('console.log')).toBe('console\n');
      expect((await stat(join(room, 'made'))).uid).toBe(2_100_000_007);
    },
  );

  it.each(['0:0', '7', 'root:root', '7:0', ''])(
    'does not stay root by a slip: -u %j',
    async (user) => {
      await mkdir(join(folder, 'room'));
      expect(await run('echo ran', 1000, ['-r', 'room', '-u', user])).toBe(125);
      expect(await read('vmm.log')).toMatch(/^bounded-output: -u: /);
    },
  );

  it('says what it cannot start', async () => {
    const args = ['10000', 'console.log', 'vmm.log', '/no/such/program'];
    const child = spawn(program, args, {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const closed = once(child.stdio[3] ?? child, 'close');
    child.stdio[3]?.on('data', () => undefined);
    expect((await once(child, 'exit'))[0]).toBe(125);
    await closed;
    expect(await read('vmm.log')).toContain('/no/such/program: No such file');
  });
});
