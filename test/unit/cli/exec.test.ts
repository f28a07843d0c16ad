import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { finished, Harness, until } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(async () => {
  await harness.serve();
  harness.daemon.addVm('box');
});
afterAll(() => {
  harness.cleanUp();
});

const exec = (...words: string[]): string[] => ['vm', 'exec', 'box', '--', ...words];
const bigBytes = 64 * 1024 * 1024;

describe('a command in a guest', () => {
  it('has its streams apart and its own exit code', async () => {
    expect(await harness.run(exec('sh', '-c', 'echo out; echo err >&2; exit 7'))).toMatchObject({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('that a signal ended exits with 128 and its number', async () => {
    expect((await harness.run(exec('sh', '-c', 'kill -KILL $$'))).code).toBe(137);
  });

  it('gets its words as they are, its variables and its folder', async () => {
    const { stdout } = await harness.run([
      ...['vm', 'exec', '-e', 'A=1=2', '--env', 'B=', '-w', '/usr', 'box', '--'],
      ...['sh', '-c', 'printf "%s|" "$@" "$A" "$B" "$PWD"', 'sh', 'a b', '--', '-q', "'"],
    ]);
    expect(stdout).toBe("a b|--|-q|'|1=2||/usr|");
  });

  it('may be longer than a usual HTTP header', async () => {
    const { code, stdout } = await harness.run(exec('printf', '%s', 'x'.repeat(100_000)));
    expect({ code, length: stdout.length }).toEqual({ code: 0, length: 100_000 });
  });

  it('of a VM that does not run is banger’s failure', async () => {
    harness.daemon.addVm('down', { state: 'stopped' });
    const { code, stderr } = await harness.run(['vm', 'exec', 'down', '--', 'true']);
    expect(code).toBe(125);
    expect(stderr).toContain('Start it with `banger vm start`.');
  });

  it('that ends before its input does ends us', async () => {
    const child = harness.start(exec('true'));
    expect((await finished(child)).code).toBe(0);
  });

  it('-n has an empty standard input', async () => {
    const child = harness.start(['vm', 'exec', '-n', 'box', '--', 'cat']);
    expect(await finished(child)).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('big streams', () => {
  it('come back as they went, in both directions at once', async () => {
    const sent = createHash('sha256');
    const received = createHash('sha256');
    const child = harness.start(exec('cat'));
    child.stdout.on('data', (chunk: Buffer) => received.update(chunk));
    const end = finished(child);
    for (let left = bigBytes; left > 0; left -= 1024 * 1024) {
      const chunk = randomBytes(1024 * 1024);
      sent.update(chunk);
      if (!child.stdin.write(chunk)) await once(child.stdin, 'drain');
    }
    child.stdin.end();
    expect((await end).code).toBe(0);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
  });

  it('a guest that does not read holds up whoever writes to us', async () => {
    const child = harness.start(exec('sleep', '60'));
    const end = finished(child);
    let written = 0;
    child.stdin.on('error', () => undefined);
    const chunk = Buffer.alloc(64 * 1024);
    // Until nothing is taken any more for a while.
    for (;;) {
      const isTaken =
        child.stdin.write(chunk) ||
        (await Promise.race([once(child.stdin, 'drain').then(() => true), delay(500, false)]));
      if (!isTaken) break;
      written += chunk.length;
      if (written > bigBytes) break;
    }
    expect(written).toBeLessThan(2 * 1024 * 1024);
    child.kill('SIGTERM');
    expect((await end).code).toBe(143);
  });

  it('a reader that is slow holds up the guest, and signals still arrive', async () => {
    const child = harness.start(
      exec('sh', '-c', 'trap "exit 9" TERM; while :; do printf %4096s x; done'),
    );
    const [first] = (await once(child.stdout, 'readable')) as unknown[];
    expect(first).toBeUndefined();
    child.stdout.pause();
    await delay(500);
    const memory = harness.daemon.execs[0]?.request.argv.length;
    expect(memory).toBe(3);
    child.kill('SIGTERM');
    child.stdout.resume();
    expect((await finished(child)).code).toBe(9);
  });

  it('a reader that goes away ends the command, as by SIGPIPE', async () => {
    const child = harness.start(exec('yes'));
    const end = finished(child);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect((await end).code).toBe(141);
    await until(() => harness.daemon.execs[0]?.isGone === true);
  });
});

describe('signals', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s reaches the command, whose end is ours', async (signal, code) => {
    const child = harness.start(exec('sleep', '60'));
    const end = finished(child);
    await until(() => harness.daemon.execs.length === 1);
    await delay(50);
    child.kill(signal);
    expect(await end).toMatchObject({ code, signal: null });
  });

  it('a command may handle it and go on', async () => {
    const child = harness.start(
      exec('sh', '-c', 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.05; done'),
    );
    const end = finished(child);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect(await end).toMatchObject({ code: 3, stdout: 'ready\ncaught\n' });
  });

  it('the third Ctrl-C leaves a command that does not listen', async () => {
    const child = harness.start(exec('sh', '-c', 'trap "" INT; echo ready; sleep 60'));
    const end = finished(child);
    await once(child.stdout, 'data');
    for (let count = 0; count < 3; count++) {
      child.kill('SIGINT');
      await delay(100);
    }
    expect((await end).code).toBe(130);
    await until(() => harness.daemon.execs[0]?.isGone === true);
  });
});

describe('in a terminal', () => {
  it('asks for one of its size and kind, and follows it', async () => {
    const { code, terminal } = await harness.runInTerminal(
      exec('sh', '-c', 'echo up; read x; exit 4'),
      [
        ['up', 'resize 50 132'],
        ['', '\n'],
      ],
    );
    const [session] = harness.daemon.execs;
    expect(session?.request.env).toMatchObject({ TERM: 'xterm' });
    expect(session?.sizes).toEqual([
      { rows: 40, columns: 100 },
      { rows: 50, columns: 132 },
    ]);
    expect({ code, terminal }).toEqual({ code: 4, terminal: 'cooked' });
  });

  it('sends Ctrl-C as a key and gives the terminal back', async () => {
    const { code, terminal } = await harness.runInTerminal(
      exec('sh', '-c', 'echo up; head -c 1 | od -An -tx1'),
      [['up', '\u0003']],
    );
    expect({ code, terminal }).toEqual({ code: 0, terminal: 'cooked' });
    expect(harness.daemon.execs[0]?.stdinBytes).toBe(1);
  });

  it('gives the terminal back when it is told to end', async () => {
    const { code, terminal } = await harness.runInTerminal(exec('sh', '-c', 'echo up; sleep 60'), [
      ['up', 'signal 15'],
    ]);
    expect({ code, terminal }).toEqual({ code: 143, terminal: 'cooked' });
  });

  it('gives the terminal back when the daemon goes away', async () => {
    const end = harness.runInTerminal(exec('sh', '-c', 'echo up; sleep 60'), []);
    await until(() => harness.daemon.execs.length === 1);
    await delay(300);
    harness.daemon.execs[0]?.cut();
    const { code, terminal, stdout } = await end;
    expect({ code, terminal }).toEqual({ code: 125, terminal: 'cooked' });
    expect(stdout).toContain('was cut while the command ran');
  });

  it('~. leaves a session that hangs', async () => {
    const { code, terminal } = await harness.runInTerminal(exec('sh', '-c', 'echo up; sleep 60'), [
      ['up', '~.'],
    ]);
    expect({ code, terminal }).toEqual({ code: 130, terminal: 'cooked' });
  });
});
