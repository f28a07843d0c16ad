import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cutSshArguments } from '../../../cli/commands/vm/ssh-arguments.ts';
import { EscapeDetector } from '../../../cli/exec/escape.ts';
import { SequenceStripper } from '../../../cli/logs/strip-sequences.ts';
import { Harness } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(() => harness.serve());
afterAll(() => {
  harness.cleanUp();
});

describe('vm ssh', () => {
  const target = {
    host: '10.0.0.2',
    port: 22,
    user: 'root',
    identityFile: '/k',
    knownHostsFile: '/h',
    hostKeyAlias: 'banger-1',
    options: ['HostKeyAlias=banger-1'],
  };

  const withSsh = (script: string): Record<string, string> => {
    const bin = join(harness.directory, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'ssh'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, 'ssh'), 0o755);
    return { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  };

  it('runs the system’s ssh with the guest’s key and host key, and its exit code', async () => {
    harness.daemon.actions.set('ssh connect', () => target);
    const { code, stdout } = await harness.run(
      ['vm', 'ssh', 'box', '-L', '1:a:2', '-v', '--', 'ls', '-l'],
      { env: withSsh('printf "%s\\n" "$@"; exit 6') },
    );
    expect(code).toBe(6);
    const words = stdout.trimEnd().split('\n');
    expect(words.slice(0, 3)).toEqual(['-L', '1:a:2', '-v']);
    expect(words.slice(-4)).toEqual(['root@10.0.0.2', '--', 'ls', '-l']);
    expect(words).toContain('HostKeyAlias=banger-1');
    expect(harness.daemon.bodies).toEqual([{ vm: 'box' }]);
  });

  it('says after a login that the VM goes on', async () => {
    harness.daemon.actions.set('ssh connect', () => target);
    harness.daemon.addVm('box', { state: 'running' });
    const { stderr } = await harness.run(['vm', 'ssh', 'box'], { env: withSsh('exit 0') });
    expect(stderr).toBe("VM 'box' is still running; stop it with: banger vm stop box\n");
  });

  it.each([
    ['with -q', 'running', ['-q', 'box']],
    ['of a VM that has stopped meanwhile', 'stopped', ['box']],
    ['of one that was deleted', undefined, ['box']],
    ['after a command in a script', 'running', ['box', 'true']],
  ] as const)('says nothing %s', async (_, state, words) => {
    harness.daemon.actions.set('ssh connect', () => target);
    if (state !== undefined) harness.daemon.addVm('box', { state });
    const done = await harness.run(['vm', 'ssh', ...words], { env: withSsh('exit 3') });
    expect(done).toMatchObject({ code: 3, stderr: '' });
  });

  it('names the package that brings ssh', async () => {
    harness.daemon.actions.set('ssh connect', () => target);
    const { code, stderr } = await harness.run(['vm', 'ssh', 'box'], { env: { PATH: '/none' } });
    expect(code).toBe(125);
    expect(stderr).toContain('openssh-client');
  });

  it.each([
    [['-L', '8080:localhost:80', 'uname', '-a'], 2],
    [['-p22', '-v', 'uname'], 2],
    [['-vp', '22', 'uname'], 2],
    [['-tt', '-oFoo=bar'], 2],
    [['uname', '-p', '22'], 0],
  ])('cuts %j into options and command', (words, count) => {
    expect(cutSshArguments(words)).toEqual({
      options: words.slice(0, count),
      command: words.slice(count),
    });
  });
});

describe('doctor', () => {
  const check = { capability: 'nat', id: 'iptables', title: 'iptables', detail: '' };

  it('exits 1 for an error, and shows its remedy', async () => {
    harness.daemon.actions.set('doctor', () => ({
      ok: false,
      checks: [{ ...check, status: 'error', remedy: 'Install iptables.' }],
    }));
    const { code, stdout } = await harness.run(['doctor']);
    expect(code).toBe(1);
    expect(stdout).toContain('Install iptables.');
    expect((await harness.run(['doctor', '--json'])).code).toBe(1);
  });

  it('exits 0 for a warning', async () => {
    harness.daemon.actions.set('doctor', () => ({
      ok: true,
      checks: [{ ...check, status: 'warning' }],
    }));
    expect((await harness.run(['doctor'])).code).toBe(0);
  });
});

describe('x', () => {
  it('lists actions, and calls one with its JSON', async () => {
    harness.daemon.actions.set('stats top', (input) => ({ got: input }));
    expect((await harness.run(['x'])).stdout).toContain('stats       top');
    const { stdout } = await harness.run(['x', 'stats', 'top', '{"a":1}']);
    expect(JSON.parse(stdout)).toEqual({ got: { a: 1 } });
  });
});

describe('images and kernels', () => {
  it('are what the actions say', async () => {
    const image = {
      name: 'debian-bookworm',
      id: 'a'.repeat(64),
      init: 'lean',
      kernel: 'k',
      bytes: 1024 ** 3,
      createdAt: null,
      usedBy: [],
    };
    harness.daemon.actions.set('images list', () => ({ images: [image] }));
    harness.daemon.actions.set('kernels list', () => ({ kernels: [] }));
    expect(JSON.parse((await harness.run(['image', 'list', '--json'])).stdout)).toEqual([image]);
    expect((await harness.run(['image', 'list'])).stdout).toContain('aaaaaaaaaaaa  lean');
    expect(JSON.parse((await harness.run(['kernel', 'list', '--json'])).stdout)).toEqual([]);
    expect(await harness.run(['image', 'show', 'nope'])).toMatchObject({ code: 125 });
  });
});

describe('what a guest wrote, on a terminal', () => {
  it('loses its escape sequences, cut in two or not', () => {
    const stripper = new SequenceStripper();
    const text = 'a\u001b[31mred\u001b[0m\u001b]0;title\u0007b\u001bPdcs\u001b\\c\u001b(Bd\té\r\n';
    const bytes = Buffer.from(text);
    const out = [...bytes].map((byte) => stripper.push(Buffer.of(byte))).join('');
    expect(out).toBe('aredbcd\té\n');
  });
});

describe('the way out of a session', () => {
  const type = (keys: string): { text: string; isLeaving: boolean } => {
    const { bytes, isLeaving } = new EscapeDetector().push(Buffer.from(keys));
    return { text: Buffer.from(bytes).toString(), isLeaving };
  };

  it('is ~. at the beginning of a line only', () => {
    expect(type('~.')).toEqual({ text: '', isLeaving: true });
    expect(type('ls\r~.')).toEqual({ text: 'ls\r', isLeaving: true });
    expect(type('ls ~.')).toEqual({ text: 'ls ~.', isLeaving: false });
    expect(type('~~.')).toEqual({ text: '~.', isLeaving: false });
    expect(type('~/x')).toEqual({ text: '~/x', isLeaving: false });
  });
});
