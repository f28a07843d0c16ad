import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackupInfo, RestoreReport } from '../../core/api/contract/backups.ts';
import { runProgram } from './support/run-program.ts';
import { createWorld, type World } from './support/world.ts';

describe('the database', () => {
  let world: World;
  let path: string;
  beforeAll(async () => {
    world = await createWorld();
    path = join(world.stateDirectory, 'banger.db');
    await world.ok(['vm', 'create', '--name', 'runs']);
    await world.ok(['vm', 'create', '--name', 'rests', '--no-start']);
  });
  afterAll(() => world.dispose());

  const backups = async (): Promise<BackupInfo[]> =>
    JSON.parse(await world.ok(['daemon', 'restore', '--list', '--json'])) as BackupInfo[];
  const damage = async (): Promise<void> => {
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(4096, 0xa5), 0, 4096, 4096);
    await file.close();
  };

  it('is one daemon’s alone', async () => {
    const daemon = [join(world.product, 'dist', 'daemon.js')];
    const second = await runProgram(process.execPath, daemon, { env: world.env });
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^\{"error":\{"code":"DAEMON_RUNNING",[^\n]*\}\n$/);
    const refused = await world.cli(['daemon', 'restore']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(
      /^banger: a daemon is running [^\n]*`banger daemon stop`[^\n]*\n$/,
    );
  });

  it('is restored, when it is damaged, by the command that the error names', async () => {
    await world.ok(['daemon', 'stop']);
    await damage();
    const refused = await world.cli(['vm', 'list']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(/^banger: the database \S+ is damaged [^\n]*\n$/);
    const [newest] = await backups();
    expect(refused.stderr).toContain(newest?.path);
    const named = /`banger (daemon restore \S+)`/.exec(refused.stderr)?.[1] ?? '';
    const report = JSON.parse(await world.ok([...named.split(' '), '--json'])) as RestoreReport;
    expect(report).toMatchObject({ database: path, backup: newest?.path });
    expect(await readdir(world.stateDirectory)).toContain(report.setAside?.split('/').at(-1));

    expect((await world.list()).map(({ name, state }) => [name, state]).sort()).toEqual([
      ['rests', 'stopped'],
      ['runs', 'running'],
    ]);
    expect(await world.guest('runs', 'hostname')).toBe('runs');
    const leaks = await world.cli(['doctor', '--leaks']);
    expect(leaks).toMatchObject({ code: 0 });
  });

  it('is restored after the daemon was killed, and the VM that runs stays', async () => {
    await world.ok(['daemon', 'stop']);
    await world.list();
    const { pid } = await world.show('runs');
    await world.killDaemon();
    await damage();
    await world.ok(['daemon', 'restore']);
    expect(await world.show('runs')).toMatchObject({ state: 'running', pid });
    expect(await world.guest('runs', 'hostname')).toBe('runs');
  });

  it('is refused with the version that is needed, when a newer banger wrote it', async () => {
    await world.ok(['daemon', 'stop']);
    const write = (sql: string): void => {
      const database = new Database(path);
      database.exec(sql);
      database.close();
    };
    write(`INSERT INTO migration (name, at, since) VALUES ('core-9999-later', '2030', '98.7.6')`);
    for (const args of [
      ['vm', 'list'],
      ['daemon', 'start'],
    ]) {
      const refused = await world.cli(args);
      expect(refused.code).toBe(125);
      expect(refused.stderr).toMatch(
        /^banger: the database [^\n]*banger 98\.7\.6 is needed\. Install[^\n]*\n$/,
      );
    }
    write(`DELETE FROM migration WHERE name = 'core-9999-later'`);
    expect(await world.guest('runs', 'hostname')).toBe('runs');
  });
});
