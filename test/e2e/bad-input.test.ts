import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';
import { totalmem } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, smallVms, type World } from './support/world.ts';

const run = promisify(execFile);

/** What a user sees of a mistake: one line, then at most dim ones on where to look. */
const firstLine = (stderr: string): string =>
  stderr.split('\n').find((line) => line.startsWith('banger: ')) ?? '';

describe('a mistake', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['vm', 'create', 'taken', '--no-start']);
  });
  afterAll(() => world.dispose());

  const refused = async (args: readonly string[], code: number, what: RegExp): Promise<void> => {
    const outcome = await world.cli(args);
    expect({ args, code: outcome.code, line: firstLine(outcome.stderr) }).toEqual({
      args,
      code,
      line: expect.stringMatching(what) as string,
    });
    expect((await world.list()).map(({ name }) => name)).toEqual(['taken']);
  };

  it.each([
    ['A', 'upper case'],
    ['-a', 'a leading hyphen'],
    ['a-', 'a trailing hyphen'],
    ['a_b', 'an underscore'],
    ['a.b', 'a dot'],
    ['é', 'a letter of another alphabet'],
    [' a', 'a blank'],
    ['a'.repeat(64), '64 letters'],
    ['box/../evil', 'a path'],
  ])('in a name is refused: %j (%s)', async (name) => {
    await refused(['vm', 'create', `--name=${name}`], 2, /a-z, 0-9 and hyphen/);
  });

  it('in a name is refused by the daemon too, past the CLI', async () => {
    for (const name of ['box/../evil', 'A', 'a'.repeat(64), ' a']) {
      const { status, body } = await world.api('POST', '/v1/vms', { name, start: false });
      expect(status).toBe(400);
      expect(body).toMatchObject({ error: { code: 'VM_NAME_INVALID' } });
    }
    expect(await world.list()).toHaveLength(1);
  });

  it('in a request’s other fields is refused by the daemon', async () => {
    for (const extra of [{ memoryMib: 0 }, { vcpus: 1.5 }, { colour: 'red' }, { image: '' }]) {
      const { status, body } = await world.api('POST', '/v1/vms', {
        name: 'x',
        start: false,
        ...extra,
      });
      expect({ extra, status }).toEqual({ extra, status: 400 });
      expect(body).toMatchObject({ error: { code: 'INPUT_INVALID' } });
    }
    expect(await world.list()).toHaveLength(1);
  });

  it.each([
    [['--memory', '0'], 2],
    [['--memory', 'abc'], 2],
    [['--vcpu', '0'], 2],
    [['--vcpu', 'two'], 2],
    [['--disk-size', '0'], 2],
    [['--disk-size', '8 bananas'], 2],
    [['--memory', `${String(Math.ceil(totalmem() / 1024 ** 3) + 1)}G`], 125],
    [['--image', 'debian-bookwrm'], 125],
    [['--colour', 'red'], 2],
  ])('in the size or the image is refused: %j', async (options, code) => {
    await refused(['vm', 'create', '--name', 'x', ...options], code, /\. [A-Z].+[.`]/);
  });

  it('of an image’s name gets a hint', async () => {
    await refused(
      ['vm', 'create', 'x', '--image', 'debian-bookwrm'],
      125,
      /did you mean 'debian-bookworm'/,
    );
  });

  it('with a name that is taken says so', async () => {
    await refused(['vm', 'create', 'taken'], 125, /'taken' exists already/);
  });

  it('with a VM that is not there says so', async () => {
    for (const verb of ['start', 'stop', 'show', 'delete'])
      await refused(['vm', verb, 'nobody'], 125, /no VM named 'nobody'.*banger vm list/);
  });

  it('in the configuration names file, line and key, and loses nothing', async () => {
    await world.ok(['daemon', 'stop']);
    await world.writeConfig('[defaults]\nvcpu = 1\n');
    const outcome = await world.cli(['vm', 'list']);
    expect(outcome.code).toBe(125);
    expect(firstLine(outcome.stderr)).toContain(
      `${world.configPath}:2: defaults.vcpu: unknown key; did you mean 'vcpus'?`,
    );
    await world.writeConfig(smallVms);
    expect(await world.list()).toHaveLength(1);
  });

  it('of a missing tool names the package', async () => {
    await world.writeConfig(`${smallVms}[qemu]\nbinary = "qemu-system-none"\n`);
    await world.ok(['daemon', 'restart']);
    await refused(['vm', 'create', 'x'], 125, /qemu-system-none is not installed.*apt-get install/);
    await world.writeConfig(smallVms);
    await world.ok(['daemon', 'restart']);
  });
});

describe('a full disk', () => {
  let world: World;
  let small: string;
  beforeAll(async () => {
    world = await createWorld();
    small = join(world.root, 'small');
    await mkdir(small);
    // Enough for the kernel's package, too little for the image's.
    await run('mount', ['-t', 'tmpfs', '-o', 'size=100m', 'tmpfs', small]);
  });
  afterAll(async () => {
    await run('umount', [small]);
    await world.dispose();
  });

  it('during the image build is told, and leaves neither record nor half an image', async () => {
    const outcome = await world.cli(['vm', 'create', 'x'], { env: { XDG_CACHE_HOME: small } });
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toMatch(/No space left|ENOSPC|no space/i);
    expect(outcome.stderr).toContain('Free some space');
    expect(await world.list()).toEqual([]);
    const left = await readdir(small, { recursive: true });
    expect(left.filter((name) => /partial|scratch|\.tar$|\.ext4$/.test(name))).toEqual([]);
  });
});
