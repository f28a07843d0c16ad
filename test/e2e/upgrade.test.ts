import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackupInfo } from '../../core/api/contract/backups.ts';
import type { DaemonStatus, VmDetails } from '../../core/api/contract/types.ts';
import { coreMigrations } from '../../core/store/migrations.ts';
import { becomeOtherBuild, copyProduct } from './support/product.ts';
import { runProgram, type Outcome } from './support/run-program.ts';
import { useVmm } from './support/vmm.ts';
import { createWorld, type World } from './support/world.ts';

/** A migration that a copied product has after all others. */
const appendMigration = async (folder: string): Promise<void> => {
  const last = coreMigrations.at(-1)?.sql ?? '';
  const dist = join(folder, 'dist');
  for (const name of (await readdir(dist)).filter((each) => /\.c?js$/.test(each))) {
    const path = join(dist, name);
    const code = await readFile(path, 'utf8');
    const end = code.indexOf('}', code.indexOf(last));
    if (!code.includes(last)) continue;
    const next = `, { name: 'core-9999-later', since: '9.9.9', sql: 'CREATE TABLE later (x TEXT) STRICT' }`;
    await writeFile(path, `${code.slice(0, end + 1)}${next}${code.slice(end + 1)}`);
  }
};

describe('an upgrade while a VM runs', () => {
  let world: World;
  let pid: number | null;
  let newer: (...args: string[]) => Promise<Outcome>;
  beforeAll(async () => {
    world = await createWorld();
    const folder = join(world.root, 'p2');
    const program = await copyProduct(folder);
    await appendMigration(folder);
    await becomeOtherBuild(folder, '0123456789abcdef');
    // On the same double: its daemon sees a host that has what that one reads.
    await useVmm(folder, join(world.root, 'f'));
    newer = (...args) => runProgram(program, args, { env: world.env });
    await world.ok(['vm', 'create', '--name', 'up']);
    await world.guest('up', 'echo kept > /root/note; sync');
    ({ pid } = await world.show('up'));
  });
  afterAll(() => world.dispose());

  it('replaces daemon and schema, and the VM runs on', async () => {
    const listed = await newer('vm', 'list');
    expect(listed.stderr).toContain('replaced the daemon');
    expect(listed.stdout).toMatch(/^up +running /m);
    const status = JSON.parse((await newer('daemon', 'status', '--json')).stdout) as DaemonStatus;
    expect(status).toMatchObject({ buildId: '0123456789abcdef', vmsRunning: 1 });
    const shown = JSON.parse((await newer('vm', 'show', 'up', '--json')).stdout) as VmDetails;
    expect(shown).toMatchObject({ state: 'running', pid, conditions: [] });
    const noted = await newer('vm', 'exec', 'up', '--', 'cat', '/root/note');
    expect(noted).toMatchObject({ code: 0, stdout: 'kept\n' });
  });

  it('is refused by the banger from before, which names the version and loses nothing', async () => {
    // Its daemon may not start, so the newer one is not replaced for good.
    const refused = await world.cli(['vm', 'list']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain('9.9.9');
    expect((await newer('vm', 'list')).stdout).toMatch(/^up +running /m);
  });

  it('can stop and start that VM in order', async () => {
    expect((await newer('vm', 'stop', 'up')).code).toBe(0);
    const stopped = JSON.parse((await newer('vm', 'show', 'up', '--json')).stdout) as VmDetails;
    expect(stopped).toMatchObject({ state: 'stopped', lastError: null });
    expect((await newer('doctor', '--leaks')).stdout).toBe('Nothing leaks.\n');
    expect(await newer('vm', 'start', 'up')).toMatchObject({ code: 0 });
    const noted = await newer('vm', 'exec', 'up', '--', 'cat', '/root/note');
    expect(noted.stdout).toBe('kept\n');
    expect((await newer('vm', 'stop', 'up')).code).toBe(0);
  });

  it('can be taken back by the backup of before', async () => {
    expect((await newer('daemon', 'stop')).code).toBe(0);
    const backups = JSON.parse(
      await world.ok(['daemon', 'restore', '--list', '--json']),
    ) as BackupInfo[];
    const before = backups.find(({ kind }) => kind === 'upgrade');
    await world.ok(['daemon', 'restore', before?.path ?? 'none']);
    await world.ok(['vm', 'start', 'up']);
    expect(await world.guest('up', 'cat /root/note')).toBe('kept');
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });
});
