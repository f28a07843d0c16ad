import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { residentKib } from './support/resident-memory.ts';
import { createWorld, type World } from './support/world.ts';

const bigBytes = 100 * 1024 * 1024;
/** What a process may grow by while that much goes through it. */
const growthKib = 64 * 1024;
const sampleMs = 20;

/** The most memory that a process has while `work` goes on, kibibytes. */
const peakDuring = async (pid: number, work: Promise<unknown>): Promise<number> => {
  let peak = 0;
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- the work ends meanwhile
  while (!isOver) {
    peak = Math.max(peak, await residentKib(pid));
    await Promise.race([work.catch(() => undefined), delay(sampleMs)]);
  }
  await work;
  return peak;
};

/** The same bytes each time, and no two blocks alike. */
function* blocks(): Generator<Buffer> {
  const block = Buffer.alloc(64 * 1024);
  for (let at = 0; at < bigBytes; at += block.length) {
    for (let word = 0; word < block.length; word += 8) {
      block.writeUInt32LE(at + word, word);
      block.writeUInt32LE(((at + word) * 7) % 2 ** 32, word + 4);
    }
    yield Buffer.from(block);
  }
}

describe('commands in a guest', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['vm', 'create', '--name', 'box']);
  });
  afterAll(() => world.dispose());

  it('run 32 at once, each with its own output, input and code', async () => {
    const script =
      'read a; i=0; while [ $i -lt 50 ]; do echo "$1 $a"; i=$((i + 1)); done; echo "$1" >&2; exit $1';
    const outcomes = await Promise.all(
      Array.from({ length: 32 }, (_, each) =>
        world.cli(['vm', 'exec', 'box', '--', 'sh', '-c', script, 'sh', String(each)], {
          input: `line ${each}\n`,
        }),
      ),
    );
    for (const [each, { code, stdout, stderr }] of outcomes.entries()) {
      expect(stdout).toBe(`${each} line ${each}\n`.repeat(50));
      expect(stderr).toBe(`${each}\n`);
      expect(code).toBe(each);
    }
  });

  const hash = createHash('sha256');
  for (const block of blocks()) hash.update(block);
  const expected = hash.digest('hex');

  it('take 100 MiB of input, and neither the daemon nor the client holds it', async () => {
    const { pid } = await world.status();
    const before = await residentKib(pid);
    const client = world.cliSpawn(['vm', 'exec', 'box', '--', 'sh', '-c', 'sha256sum']);
    const { stdin, stdout } = client;
    if (stdin === null || stdout === null || client.pid === undefined) throw new Error('no pipes');
    const said = text(stdout);
    const work = Promise.all([pipeline(Readable.from(blocks()), stdin), once(client, 'close')]);
    const [ofDaemon, ofClient] = await Promise.all([
      peakDuring(pid, work),
      peakDuring(client.pid, work),
    ]);
    expect((await said).split(' ')[0]).toBe(expected);
    expect(ofDaemon - before).toBeLessThan(growthKib);
    // Node itself takes some 60 MiB.
    expect(ofClient).toBeLessThan(60 * 1024 + growthKib);
  });

  it('give 100 MiB of output, and neither holds it', async () => {
    const { pid } = await world.status();
    const before = await residentKib(pid);
    const client = world.cliSpawn([
      'vm',
      'exec',
      '-n',
      'box',
      '--',
      'head',
      '-c',
      String(bigBytes),
      '/dev/zero',
    ]);
    const { stdout } = client;
    if (stdout === null || client.pid === undefined) throw new Error('no pipe');
    let size = 0;
    let zeros = true;
    stdout.on('data', (data: Buffer) => {
      size += data.length;
      zeros &&= data.every((byte) => byte === 0);
    });
    const work = once(client, 'close');
    const [ofDaemon, ofClient] = await Promise.all([
      peakDuring(pid, work),
      peakDuring(client.pid, work),
    ]);
    expect({ size, zeros, code: client.exitCode }).toEqual({
      size: bigBytes,
      zeros: true,
      code: 0,
    });
    expect(ofDaemon - before).toBeLessThan(growthKib);
    expect(ofClient).toBeLessThan(60 * 1024 + growthKib);
  });
});
