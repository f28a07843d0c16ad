import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, symlink, writeFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Agent, ExecRequest } from '../../../capabilities/vsock-agent/agent.ts';
import { encodeFrame, FrameType } from '../../../capabilities/vsock-agent/frames.ts';
import type { Exit, Session } from '../../../capabilities/vsock-agent/session.ts';
import { firstOf, itUnless, needsRoot, needsTools } from '../../support/skip.ts';
import { buildGuestHandlers, exited, type GuestHandlers } from './guest-handler.ts';

const command = promisify(execFile);

let guest: GuestHandlers;
let agent: Agent;

beforeAll(async () => {
  guest = await buildGuestHandlers();
  agent = guest.agent();
}, 120_000);

afterAll(() => guest.dispose());

interface Ran {
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(argv: string[], more: Partial<ExecRequest> = {}, on = agent): Promise<Ran> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const exit = await on.exec({
    argv,
    cwd: '/',
    onStdout: (data) => void stdout.push(data),
    onStderr: (data) => void stderr.push(data),
    ...more,
  });
  return {
    exit,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  };
}

const sh = (script: string, more?: Partial<ExecRequest>, on?: Agent): Promise<Ran> =>
  run(['/bin/sh', '-c', script], more, on);

/** The condition is another process's; it can only be asked. */
async function eventually(condition: () => Promise<boolean> | boolean): Promise<void> {
  await expect.poll(condition, { timeout: 5_000, interval: 10 }).toBe(true);
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

describe('healthz', () => {
  it('tells who answers', async () => {
    expect(await agent.healthz()).toMatchObject({
      protocol: 1,
      bootId: expect.any(String) as string,
    });
  });
});

describe('exec', () => {
  it('keeps stdout, stderr and the exit code apart', async () => {
    expect(await sh('echo out; echo err >&2; exit 7')).toEqual({
      exit: { kind: 'exit', code: 7 },
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('tells a signal from a code', async () => {
    expect((await sh('kill -TERM $$')).exit).toEqual({ kind: 'signal', signal: 15 });
  });

  it('answers like a shell where there is nothing to execute', async () => {
    expect(await run(['no-such-command'])).toMatchObject({
      exit: { kind: 'exit', code: 127 },
      stderr: expect.stringContaining('no-such-command') as string,
    });
    expect((await run(['/etc/passwd'])).exit).toEqual({ kind: 'exit', code: 126 });
  });

  it('refuses a working directory that is not there', async () => {
    await expect(run(['true'], { cwd: '/no/such' })).rejects.toMatchObject({
      code: 'AGENT_REFUSED',
      message: '/no/such: No such file or directory',
    });
  });

  it('gives the command its environment, folder and a clean set of signals', async () => {
    const { stdout } = await sh(
      'pwd; echo $A $HOME; exec grep -E "SigBlk|SigIgn" /proc/self/status',
      {
        cwd: '/usr',
        env: { A: 'b=c d' },
      },
    );
    expect(stdout).toBe(
      '/usr\nb=c d /root\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n',
    );
  });

  itUnless(needsRoot(), 'runs as whoever is asked for', async () => {
    const who = 'id -u; id -g; id -G; echo "$HOME $USER $LOGNAME"; pwd';
    // Debian's own numbers of these two.
    expect((await sh(who, { user: 'nobody', cwd: undefined })).stdout).toBe(
      '65534\n65534\n65534\n/nonexistent nobody nobody\n/\n',
    );
    expect((await sh(who, { user: '33:4', cwd: '/' })).stdout).toBe(
      '33\n4\n4\n/var/www www-data www-data\n/\n',
    );
    expect((await sh(who, { user: '54321', cwd: undefined })).stdout).toBe(
      '54321\n54321\n54321\n/ 54321 54321\n/\n',
    );
    const pty = { rows: 24, columns: 80 };
    const { stdout } = await sh('stat -c %U $(tty); echo hi > /dev/tty', { user: 'nobody', pty });
    expect(stdout).toBe('nobody\r\nhi\r\n');
    for (const user of ['no such', '4294967295', 'root:0', ''])
      await expect(sh('true', { user })).rejects.toThrow(/^no such user/);
  });

  it('carries megabytes both ways', async () => {
    const data = randomBytes(20_000_000);
    const hash = createHash('sha256');
    const exit = await agent.exec({
      argv: ['cat'],
      cwd: '/',
      stdin: data,
      onStdout: (part) => void hash.update(part),
    });
    expect(exit).toEqual({ kind: 'exit', code: 0 });
    expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
  });

  it('drops stdin that nobody reads', async () => {
    expect((await run(['true'], { stdin: Buffer.alloc(3_000_000) })).exit).toEqual({
      kind: 'exit',
      code: 0,
    });
  });

  it('does not wait for a background process that keeps the output open', async () => {
    const { stdout, exit } = await sh('sleep 300 & echo $!; exit 3');
    expect(exit).toEqual({ kind: 'exit', code: 3 });
    process.kill(Number(stdout));
  });

  it('waits for a consumer that is slow, and the guest with it', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    let size = 0;
    const done = agent.exec({
      argv: ['head', '-c', '4000000', '/dev/zero'],
      cwd: '/',
      onStdout: (data) => {
        size += data.length;
        return gate;
      },
    });
    await eventually(() => size > 0);
    const first = size;
    // A full exchange on another stream passes while this one stands still.
    const other = guest.agent();
    await other.healthz();
    expect(size).toBe(first);
    open();
    expect(await done).toEqual({ kind: 'exit', code: 0 });
    expect(size).toBe(4_000_000);
  });

  it('passes signals to the process group', async () => {
    let session: Session | undefined;
    const ran = sh('trap "echo got; exit 4" USR1; echo up; while :; do sleep 0.05; done', {
      onSession: (opened) => (session = opened),
      onStdout: (data) => {
        if (data.toString() === 'up\n') session?.signal(10);
        else expect(data.toString()).toBe('got\n');
      },
    });
    expect((await ran).exit).toEqual({ kind: 'exit', code: 4 });
  });

  it.each([
    ['a command', 'echo $$; exec sleep 300'],
    ['one that ignores a hang-up', 'trap "" HUP; echo $$; while :; do sleep 1; done'],
  ])('cancels %s, and the stream serves the next one', async (_, script) => {
    const abort = new AbortController();
    let pid = 0;
    const ran = sh(script, {
      signal: abort.signal,
      onStdout: (data) => {
        pid = Number(data);
        abort.abort(new Error('enough'));
      },
    });
    await expect(ran).rejects.toThrow('enough');
    expect(alive(pid)).toBe(false);
    expect((await sh('echo on')).stdout).toBe('on\n');
  });

  it('cancels while the consumer is stuck', async () => {
    const abort = new AbortController();
    const ran = sh('yes', {
      signal: abort.signal,
      onStdout: () => {
        abort.abort(new Error('enough'));
        return new Promise(() => {});
      },
    });
    await expect(ran).rejects.toThrow('enough');
    expect((await sh('echo on')).stdout).toBe('on\n');
  });

  it('ends the command when the host goes away', async () => {
    const own = guest.agent();
    let pid = 0;
    const ran = sh(
      'echo $$; exec sleep 300',
      {
        onStdout: (data) => {
          pid = Number(data);
          own.close();
        },
      },
      own,
    );
    await expect(ran).rejects.toMatchObject({ code: 'AGENT_LOST' });
    await eventually(() => !alive(pid));
  });

  it('runs several at a time, one on each stream, and queues the rest', async () => {
    const many = guest.agent(3);
    const scripts = Array.from({ length: 12 }, (_, i) => sh(`sleep 0.02; echo ${i}`, {}, many));
    const outputs = (await Promise.all(scripts)).map(({ stdout }) => stdout);
    expect(outputs).toEqual(Array.from({ length: 12 }, (_, i) => `${i}\n`));
  });

  it('refuses what the protocol cannot carry', async () => {
    await expect(run(['x'.repeat(40_000)])).rejects.toMatchObject({ code: 'AGENT_BAD_REQUEST' });
    await expect(run(['a\0b'])).rejects.toMatchObject({ code: 'AGENT_BAD_REQUEST' });
  });
});

describe('a terminal', () => {
  it('has the size that was asked for, and takes another', async () => {
    let session: Session | undefined;
    const { stdout } = await sh('stty size; read x; stty size', {
      pty: { rows: 40, columns: 100 },
      stdin: 'session',
      onSession: (opened) => {
        session = opened;
        opened.resize(50, 120);
        void opened.write(Buffer.from('\n'));
      },
    });
    expect(session).toBeDefined();
    expect(stdout).toMatch(/50 120\r\n$/);
  });

  it('interrupts by ^C and ends input by ^D', async () => {
    const interrupted = await run(['cat'], {
      pty: { rows: 24, columns: 80 },
      stdin: Buffer.from('\x03'),
    });
    expect(interrupted.exit).toEqual({ kind: 'signal', signal: 2 });
    const ended = await run(['cat'], {
      pty: { rows: 24, columns: 80 },
      stdin: Buffer.from('hi\n'),
    });
    expect(ended).toMatchObject({ exit: { kind: 'exit', code: 0 }, stdout: 'hi\r\nhi\r\n' });
  });

  it('loses no output to a host that is slower than the grace after the exit', async () => {
    const parts: Buffer[] = [];
    const exit = await agent.exec({
      argv: ['seq', '1', '100000'],
      cwd: '/',
      pty: { rows: 24, columns: 80 },
      onStdout: async (data) => {
        parts.push(data);
        if (parts.length === 1) await delay(800); // longer than the agent's PTY_GRACE_MS
      },
    });
    expect(exit).toEqual({ kind: 'exit', code: 0 });
    expect(Buffer.concat(parts).toString().split('\r\n')).toHaveLength(100_001);
  });

  it('loses no output at the exit', async () => {
    const { stdout } = await sh('seq 1 20000', { pty: { rows: 24, columns: 80 } });
    expect(stdout.split('\r\n')).toHaveLength(20_001);
  });
});

describe('files', () => {
  it('come back as they went, with mode and new folders', async () => {
    const path = join(guest.folder, 'new/folder/file');
    const data = randomBytes(1_000_000);
    await agent.putFile({ path, source: data, mode: 0o4750 });
    expect((await stat(path)).mode & 0o7777).toBe(0o4750);
    const parts: Buffer[] = [];
    await agent.getFile({ path, onData: (part) => void parts.push(part) });
    expect(Buffer.concat(parts).equals(data)).toBe(true);
  });

  it('replace a symlink, not what it points to', async () => {
    const target = join(guest.folder, 'target');
    const path = join(guest.folder, 'link');
    await writeFile(target, 'old');
    await symlink(target, path);
    await agent.putFile({ path, source: Buffer.from('new') });
    expect(await readFile(target, 'utf8')).toBe('old');
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  itUnless(
    firstOf(needsRoot(), needsTools('mount')),
    'are refused where there is no room',
    async () => {
      const folder = join(guest.folder, 'small');
      await mkdir(folder);
      await command('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'bgr-test', folder]);
      try {
        const put = agent.putFile({ path: join(folder, 'file'), source: randomBytes(1_000_000) });
        await expect(put).rejects.toMatchObject({
          code: 'AGENT_REFUSED',
          message: `${folder}/file: No space left on device`,
        });
        expect(await readdir(folder)).toEqual([]);
        await agent.putFile({ path: join(folder, 'file'), source: randomBytes(1_000) });
      } finally {
        await command('umount', [folder]);
      }
    },
  );

  it('leave nothing behind when a put is cancelled', async () => {
    const abort = new AbortController();
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (let i = 0; ; i++) {
        if (i === 50) abort.abort(new Error('enough'));
        yield Buffer.alloc(10_000);
      }
    };
    const path = join(guest.folder, 'cancelled/file');
    const put = agent.putFile({ path, source: endless(), signal: abort.signal });
    await expect(put).rejects.toThrow('enough');
    expect(await readdir(join(guest.folder, 'cancelled'))).toEqual([]);
  });

  it.each(['relative', '/', '/tmp/../etc/x', '/tmp/'])('are refused under %j', async (path) => {
    await expect(agent.putFile({ path, source: Buffer.alloc(0) })).rejects.toMatchObject({
      code: 'AGENT_REFUSED',
    });
  });

  it('that are not regular or not there are refused', async () => {
    const onData = (): void => {};
    await expect(agent.getFile({ path: '/no/such', onData })).rejects.toThrow('No such file');
    await expect(agent.getFile({ path: '/dev/zero', onData })).rejects.toThrow('Invalid');
    await expect(agent.getFile({ path: '/tmp', onData })).rejects.toThrow('Is a directory');
  });
});

describe('the wire', () => {
  it('shutdown is refused outside a guest', async () => {
    await expect(agent.shutdown()).rejects.toMatchObject({ code: 'AGENT_REFUSED' });
  });

  it('arbitrary bytes and frames never end the handler', async () => {
    const stream = await guest.connect();
    const handler = guest.processes.at(-1);
    stream.resume();
    const id = Buffer.alloc(8, 5);
    const types = Object.values(FrameType).filter((type) => type !== FrameType.open);
    const frame = fc
      .tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 80 }))
      .map(([type, body]) => encodeFrame(id, type, body));
    // Of this test's own: the handler runs on the host, and a `put` among these is done.
    const path = `path=${join(guest.folder, 'junk')}`;
    const words = fc.constantFrom('exec', 'get', 'put', path, 'pty=1x1', 'mode=9', '');
    const open = fc
      .tuple(fc.array(words, { maxLength: 6 }), fc.constantFrom('', '\0'))
      .map(([parts, end]) => encodeFrame(id, FrameType.open, Buffer.from(parts.join('\0') + end)));
    const junk = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
    const wire = fc.array(fc.oneof(frame, open, junk), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(wire, async (parts) => {
        await new Promise((resolve) => stream.write(Buffer.concat(parts), resolve));
      }),
      { numRuns: 300 },
    );
    const answered = new Promise((resolve) => stream.once('data', resolve));
    stream.write(Buffer.concat([Buffer.alloc(1), encodeFrame(id, FrameType.close)]));
    await answered;
    expect(handler?.exitCode).toBe(null);
    stream.destroy();
    if (handler) await exited(handler);
    expect(handler?.exitCode).toBe(0);
  });
});
