import { mkdir } from 'node:fs/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BangerError } from '../../../core/errors.ts';
import { Harness } from './support/harness.ts';

const harness = new Harness();
const repository = join(harness.directory, 'it');

beforeAll(async () => {
  await harness.prepare();
  await mkdir(repository, { recursive: true });
});
beforeEach(async () => {
  const { actions } = await harness.serve();
  const contents = {
    repository,
    mode: 'shallow_overlay',
    base: 'c'.repeat(40),
    branch: 'main',
    changes: [{ status: 'M', path: 'a' }],
    submodules: [],
    notices: ['2 untracked entries stay behind'],
  };
  actions.set('workspace check', () => contents);
  actions.set('workspace prepare', () => ({
    ...contents,
    vm: 'box',
    guestPath: harness.directory,
    bytes: 1,
  }));
});
afterAll(() => {
  harness.cleanUp();
});

describe('vm run PATH', () => {
  it('runs the command where the repository is', async () => {
    const { code, stdout } = await harness.run([
      ...['vm', 'run', '--name', 'box', '--branch', 'try', repository, '--', 'pwd'],
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${harness.directory}\n` });
    expect(harness.daemon.bodies.slice(0, 1)).toEqual([
      { path: repository, branch: 'try', includeUntracked: false },
    ]);
    expect(harness.daemon.execs[0]?.request.cwd).toBe(harness.directory);
  });

  it('makes no VM where nothing can go in', async () => {
    harness.daemon.actions.set('workspace check', () => {
      throw new BangerError('REPOSITORY_UNSUITABLE', 'that is no repository');
    });
    const { code, stderr } = await harness.run(['vm', 'run', '--rm', repository, '--', 'true']);
    expect(code).toBe(125);
    expect(stderr).toContain('that is no repository');
    expect(harness.daemon.vms.size).toBe(0);
  });

  it('deletes an ephemeral VM into which nothing went', async () => {
    harness.daemon.actions.set('workspace prepare', () => {
      throw new BangerError('GUEST_FAILED', 'no git there');
    });
    const { code } = await harness.run(['vm', 'run', '--rm', repository, '--', 'true']);
    expect(code).toBe(125);
    expect(harness.daemon.vms.size).toBe(0);
    expect(harness.daemon.execs).toEqual([]);
  });

  it('without a command says what comes next, with nothing that loses work', async () => {
    const { code, stderr } = await harness.run(['vm', 'run', '--name', 'box', repository]);
    expect(code).toBe(0);
    for (const line of [
      'vm ssh box',
      `vm exec -w ${harness.directory} box -- git status`,
      'vm workspace export box --output box.patch',
      'vm stop box',
      'vm delete box',
    ])
      expect(stderr.split('\n')).toContain(`  banger ${line}`);
  });

  it('refuses what is said of no repository', async () => {
    const { code, stderr } = await harness.run(['vm', 'run', '--branch', 'x', '--', 'true']);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no repository');
  });
});

describe('vm workspace', () => {
  it('prepare --dry-run lists what would go in, and brings nothing in', async () => {
    harness.daemon.addVm('box');
    const args = ['vm', 'workspace', 'prepare', 'box', repository, '--dry-run'];
    const { code, stderr } = await harness.run(args);
    expect(code).toBe(0);
    expect(stderr).toContain('  M a\nnote: 2 untracked entries stay behind\n');
    const json = await harness.run([...args, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ changes: [{ status: 'M', path: 'a' }] });
    expect(harness.daemon.calls.some((call) => call.endsWith('/prepare'))).toBe(false);
  });

  it('export writes the patch to a file or to standard output, byte for byte', async () => {
    const patch = join(harness.directory, 'p');
    const content = Buffer.from([0, 255, 10, 13]).toString('latin1');
    writeFileSync(patch, content, 'latin1');
    harness.daemon.actions.set('workspace export', () => ({
      ...{ vm: 'box', patch, bytes: 4, base: null, isTried: true },
    }));
    const output = join(harness.directory, 'out.patch');
    const args = ['vm', 'workspace', 'export', 'box'];
    expect((await harness.run([...args, '-o', output, '--json'])).stdout).toContain(output);
    expect(readFileSync(output, 'latin1')).toBe(content);
    expect((await harness.run([...args, '--json'])).code).toBe(2);
    const calls = harness.daemon.calls.length;
    const refused = await harness.run([...args, '-o', '/nonexistent/x']);
    expect(refused.stderr).toContain('/nonexistent/x cannot be written');
    // Not asked for: it would count as exported.
    expect(harness.daemon.calls.length).toBe(calls);
  });
});

describe('vm delete of a VM that holds work', () => {
  beforeEach(() => {
    harness.daemon.addVm('box', { state: 'stopped' });
    harness.daemon.holdWork.add('box');
  });

  it('is refused without a terminal, and done by force', async () => {
    const { code, stderr } = await harness.run(['vm', 'delete', 'box']);
    expect(code).toBe(125);
    expect(stderr).toContain("VM 'box' has changes.");
    expect(harness.daemon.vms.size).toBe(1);
    expect((await harness.run(['vm', 'delete', '--force', 'box'])).code).toBe(0);
    expect(harness.daemon.vms.size).toBe(0);
  });

  it('asks in a terminal: anything but yes keeps it', async () => {
    for (const answer of ['\n', 'n\n', '\u0004']) {
      const { code } = await harness.runInTerminal(['vm', 'delete', 'box'], [['[y/N]', answer]]);
      expect(code).toBe(125);
      expect(harness.daemon.vms.size).toBe(1);
    }
    const { code } = await harness.runInTerminal(['vm', 'delete', 'box'], [['[y/N]', 'y\n']]);
    expect(code).toBe(0);
    expect(harness.daemon.vms.size).toBe(0);
  });
});
