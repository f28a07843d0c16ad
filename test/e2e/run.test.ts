import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pollUntil } from './support/poll.ts';
import { inTerminal } from './support/terminal.ts';
import { createWorld, type World } from './support/world.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('vm run', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });
  afterAll(() => world.dispose());

  describe('--rm', () => {
    afterEach(async () => {
      expect(await world.list()).toEqual([]);
    });

    it('keeps standard output, standard error and the exit code apart', async () => {
      const ran = await world.cli([
        'vm',
        'run',
        '--rm',
        '-q',
        '--',
        'sh',
        '-c',
        'echo out; echo err >&2; exit 42',
      ]);
      expect(ran).toMatchObject({ code: 42, stdout: 'out\n', stderr: 'err\n' });
    });

    it('tells what it does on standard error alone', async () => {
      const ran = await world.cli(['vm', 'run', '--rm', '--', 'cat'], { input: 'said\n' });
      expect(ran).toMatchObject({ code: 0, stdout: 'said\n' });
      expect(ran.stderr).toContain('spec: 1 vcpu · 512 MiB · 8G disk');
    });

    it('ends like the command does that a signal ended', async () => {
      expect((await world.cli(['vm', 'run', '--rm', '--', 'sh', '-c', 'kill -9 $$'])).code).toBe(
        137,
      );
    });

    it('says 125 where banger itself fails', async () => {
      const noImage = await world.cli(['vm', 'run', '--rm', '--image', 'nosuch', '--', 'true']);
      expect(noImage.code).toBe(125);
      expect(noImage.stderr).toContain('nosuch');
      const noMemory = await world.cli(['vm', 'run', '--rm', '--memory', '1', '--', 'true']);
      expect(noMemory.code).toBeGreaterThan(1);
      expect(noMemory.stdout).toBe('');
    });

    it('has nothing left when it returns, also where the VM has ended by itself', async () => {
      const run = world.cli(['vm', 'run', '--rm', '--name', 'dies', '--', 'sleep', '100']);
      const pid = await pollUntil('the command in the guest', 60_000, async () => {
        const [vm] = await world.list();
        if (vm?.state !== 'running') return undefined;
        const { stdout } = await world.cli(['vm', 'exec', 'dies', '--', 'pidof', 'sleep']);
        return stdout === '' ? undefined : (await world.show('dies')).pid;
      });
      process.kill(pid ?? 0, 'SIGKILL');
      const ran = await run;
      expect(await world.list()).toEqual([]);
      expect(ran.code).toBe(125);
      expect(ran.stderr).not.toContain('busy');
    });

    it('carries 5 MB each way unchanged', async () => {
      const input = randomBytes(5_000_000);
      const ran = await world.cli(['vm', 'run', '--rm', '-q', '--', 'cat'], { input });
      expect(ran.code).toBe(0);
      expect(ran.bytes.length).toBe(input.length);
      expect(sha256(ran.bytes)).toBe(sha256(input));
    });

    it('passes Ctrl-C on to the command', async () => {
      const child = world.cliSpawn([
        'vm',
        'run',
        '--rm',
        '-q',
        '--',
        'sh',
        '-c',
        "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done",
      ]);
      let out = '';
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (!out.includes('ready') && text.includes('ready')) child.kill('SIGINT');
        out += text;
      });
      const [code] = (await once(child, 'close')) as [number | null];
      expect(out).toBe('ready\ncaught\n');
      expect(code).toBe(7);
    });

    it('deletes the VM also where the client is killed', async () => {
      const child = world.cliSpawn([
        'vm',
        'run',
        '--rm',
        '-q',
        '--',
        'sh',
        '-c',
        'echo ready; sleep 1000',
      ]);
      if (child.stdout !== null) await once(child.stdout, 'data');
      const [vm] = await world.list();
      expect(vm).toMatchObject({ state: 'running', ephemeral: true });
      child.kill('SIGKILL');
      await pollUntil('the VM of a killed client is deleted', 60_000, async () =>
        (await world.list()).length === 0 ? true : undefined,
      );
    });

    it('gives a shell on a terminal', async () => {
      const shell = await inTerminal(
        world,
        ['vm', 'run', '--rm', '--name', 'term'],
        [
          { expect: /VM 'term' is yours[^]*# /, send: 'tty; stty size; echo "$TERM-$((6*7))"\r' },
          { expect: /\/dev\/pts\/\d+\r+\n31 97\r+\nvt220-42\r+\n/, send: 'exit 3\r' },
        ],
      );
      expect(shell.code).toBe(3);
      expect(shell.output).toContain('banger vm exec term');
    });
  });

  it('without a command leaves the VM and says what comes next', async () => {
    const ran = await world.cli(['vm', 'run', '--name', 'stays']);
    expect(ran).toMatchObject({ code: 0, stdout: '' });
    for (const next of [
      'vm ssh stays',
      'vm exec stays',
      'vm stop stays',
      'vm delete --force stays',
    ])
      expect(ran.stderr).toContain(`banger ${next}`);
    expect((await world.show('stays')).state).toBe('running');
    expect(await world.ok(['vm', 'exec', 'stays', '--', 'hostname'])).toBe('stays');
  });

  it('with a command leaves the VM as well', async () => {
    const ran = await world.cli(['vm', 'run', '--name', 'too', '-q', '--', 'false']);
    expect(ran.code).toBe(1);
    expect((await world.show('too')).state).toBe('running');
  });
});
