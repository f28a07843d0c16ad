import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkspaceStatus } from '../../capabilities/workspace/contract.ts';
import { readTree } from '../host/workspace/support/files.ts';
import { GitWorld } from '../host/workspace/support/git-world.ts';
import { guestBy, type Launch } from '../host/workspace/support/local-guest.ts';
import { roundTrip, type Counts } from '../host/workspace/support/round-trip.ts';
import { runProgram } from './support/run-program.ts';
import { inTerminal } from './support/terminal.ts';
import { createWorld, type World } from './support/world.ts';

let world: World;
let project: string;

const git = async (cwd: string, args: readonly string[], input?: Buffer): Promise<string> => {
  const ran = await runProgram('git', args, {
    cwd,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: world.root,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'A',
      GIT_AUTHOR_EMAIL: 'a@example.org',
      GIT_COMMITTER_NAME: 'A',
      GIT_COMMITTER_EMAIL: 'a@example.org',
    },
    ...(input === undefined ? {} : { input }),
  });
  if (ran.code !== 0) throw new Error(`git ${args.join(' ')}: ${ran.stderr}`);
  return ran.stdout.trimEnd();
};

/** A small program with a test, as somebody has it on their machine: something is changed and not committed yet. */
const makeProject = async (): Promise<void> => {
  project = join(world.root, 'project');
  await mkdir(project);
  await git(project, ['init', '-q', '-b', 'main']);
  await writeFile(
    join(project, 'test.sh'),
    '#!/bin/sh\nset -e\n. ./add.sh\n[ "$(add 2 3)" = 5 ]\necho "ok in $(git rev-parse --show-toplevel)"\n',
    { mode: 0o755 },
  );
  await writeFile(join(project, 'add.sh'), 'add() { echo $(($1 - $2)); }\n');
  await writeFile(join(project, 'Makefile'), 'test:\n\t@./test.sh\n');
  await writeFile(join(project, '.gitignore'), '.env\n');
  await git(project, ['add', '-A']);
  await git(project, ['commit', '-q', '-m', 'a test that fails']);
  await writeFile(join(project, 'add.sh'), 'add() { echo $(($1 + $2)); }\n');
  await writeFile(join(project, '.env'), 'SECRET=1\n');
};

beforeAll(async () => {
  world = await createWorld();
  await makeProject();
});
afterAll(() => world.dispose());

it('runs a repository’s tests in a VM of their own, and nothing is left', async () => {
  const ran = await world.cli(['vm', 'run', '--rm', '-q', project, '--', 'make', 'test']);
  expect(ran).toMatchObject({ code: 0, stdout: 'ok in /root/repo\n', stderr: '' });
  expect(await world.list()).toEqual([]);
});

it('makes no VM for a folder that is no repository', async () => {
  const ran = await world.cli(['vm', 'run', world.root]);
  expect(ran.code).toBe(125);
  expect(ran.stderr).toContain('is not in a git repository');
  expect(await world.list()).toEqual([]);
});

describe('one VM', () => {
  it('has the repository, and the next steps are commands to paste', async () => {
    const ran = await world.cli(['vm', 'run', '--name', 'box', '.'], { cwd: project });
    expect(ran).toMatchObject({ code: 0, stdout: '' });
    for (const next of [
      'vm ssh box',
      'vm exec -w /root/repo box -- git status',
      'vm workspace export box --output box.patch',
      'vm stop box',
      'vm delete box',
    ])
      expect(ran.stderr.split('\n')).toContain(`  banger ${next}`);
    const files = await world.guest('box', 'cd repo; ls -A; git status --porcelain');
    expect(files).toBe('.git\n.gitignore\nMakefile\nadd.sh\ntest.sh\n M add.sh');
  });

  it('gives back what was made there, by a patch and by a pull', async () => {
    await world.guest(
      'box',
      'cd repo; git mv test.sh check.sh; git commit -qm rename; head -c 300000 /dev/zero >blob; ln -s blob link',
    );
    const patch = join(world.root, 'box.patch');
    await world.ok(['vm', 'workspace', 'export', 'box', '--output', patch]);
    expect(await world.ok(['vm', 'workspace', 'export', 'box'])).toBe(
      (await readFile(patch, 'utf8')).trimEnd(),
    );
    const clean = join(world.root, 'clean');
    await git(world.root, ['clone', '-q', project, clean]);
    await git(clean, ['apply', '--index', patch]);
    expect(await git(clean, ['status', '--porcelain'])).toBe(
      'M  add.sh\nA  blob\nR  test.sh -> check.sh\nA  link',
    );
    const status = JSON.parse(
      await world.ok(['vm', 'workspace', 'status', 'box', '--json']),
    ) as WorkspaceStatus;
    expect(status).toMatchObject({ unsaved: null, guest: { commits: 1 }, host: { changes: [] } });
    // The next daemon knows of it, and a call waits until it has found the VM again.
    await world.killDaemon();
    await writeFile(join(project, 'beside'), 'of the host');
    await world.ok(['vm', 'workspace', 'pull', 'box']);
    const {
      '.env': _secret,
      beside: _beside,
      ...pulled
    } = Object.fromEntries(await readTree(project));
    expect(pulled).toEqual(Object.fromEntries(await readTree(clean)));
  });

  it('carries a dozen random repositories in and back byte for byte', async () => {
    const counts: Counts = {};
    const inBox = (argv: readonly string[], cwd = '/'): Launch => ({
      file: join(world.product, 'bin', 'banger'),
      args: ['vm', 'exec', '-w', cwd, 'box', '--', ...argv],
      env: world.env,
    });
    for (let seed = 1; seed <= 12; seed++) {
      const path = `/root/case-${String(seed)}`;
      await using made = await GitWorld.create({ elsewhere: { guest: guestBy(inBox), path } });
      const { mirror } = made;
      const tar = async (input?: Buffer): Promise<Buffer> => {
        const script =
          input === undefined
            ? `tar c -C ${path} .`
            : `rm -rf ${path} && mkdir ${path} && tar x -C ${path}`;
        const argv = ['sh', '-c', script];
        const { file, args, env } = inBox(argv);
        const ran = await made.run(file, args, made.root, input, env as Record<string, string>);
        if (ran.code !== 0) throw new Error(`tar in the guest: ${ran.stderr}`);
        return ran.stdout;
      };
      await roundTrip(made, seed, counts, {
        fetch: async () => {
          await rm(mirror, { recursive: true, force: true });
          await mkdir(mirror);
          await made.run('tar', ['x', '-C', mirror], made.root, await tar());
        },
        put: async () => {
          const packed = await made.run('tar', ['c', '-C', mirror, '.'], made.root);
          await tar(packed.stdout);
        },
      });
    }
    console.log(`12 cases through a guest: ${JSON.stringify(counts)}`);
  });

  it('is not deleted with what was not exported, save by who says so', async () => {
    await world.guest('box', 'echo work >repo/work');
    await world.ok(['vm', 'stop', 'box']);
    const refused = await world.cli(['vm', 'delete', 'box']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain('never exported');
    expect(refused.stderr).toContain('banger vm delete --force box');
    expect(await world.api('DELETE', '/v1/vms/box')).toMatchObject({
      status: 409,
      body: { error: { code: 'VM_HOLDS_WORK' } },
    });
    const asked = await inTerminal(
      world,
      ['vm', 'delete', 'box'],
      [{ expect: /never exported[^]*\[y\/N\] $/, send: 'n\r' }],
    );
    expect(asked.code).toBe(125);
    expect(asked.output).toContain("VM 'box' was kept");
    expect((await world.list()).map(({ name }) => name)).toEqual(['box']);
    const sure = await inTerminal(
      world,
      ['vm', 'delete', 'box'],
      [{ expect: /\[y\/N\] $/, send: 'y\r' }],
    );
    expect(sure.code).toBe(0);
    expect(await world.list()).toEqual([]);
  });
});
