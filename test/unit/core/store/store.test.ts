import { copyFile, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { BangerError } from '../../../../core/errors.ts';
import { listBackups } from '../../../../core/store/backups.ts';
import { coreMigrations, type Migration } from '../../../../core/store/migrations.ts';
import { restoreStore } from '../../../../core/store/restore.ts';
import { openStore } from '../../../../core/store/store.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { addVm, createOfSchema, failureOf, schemaOf, vmsIn } from './support.ts';

const databaseIn = async (): Promise<string> => join(await tempDir(), 'banger.db');
const backupsOf = (path: string) => listBackups(path, coreMigrations);
const next: Migration = {
  name: 'core-9001-next',
  since: '9.1.0',
  sql: 'ALTER TABLE vm ADD COLUMN colour TEXT',
};

describe('migrations', () => {
  it('of each earlier schema arrive where a new database is', async () => {
    const fresh = await databaseIn();
    (await openStore(fresh)).close();
    for (let schema = 1; schema <= coreMigrations.length; schema++) {
      const path = await databaseIn();
      createOfSchema(path, schema);
      addVm(path, 'kept');
      const store = await openStore(path);
      expect(store.durable.pragma('quick_check')).toEqual([{ quick_check: 'ok' }]);
      store.close();
      expect(schemaOf(path)).toEqual(schemaOf(fresh));
      expect(vmsIn(path)).toEqual(['kept']);
    }
  });

  it('are backed up before, once', async () => {
    const path = await databaseIn();
    createOfSchema(path, 1);
    addVm(path, 'kept');
    for (let times = 0; times < 2; times++) (await openStore(path)).close();
    const upgrades = backupsOf(path).filter(({ kind }) => kind === 'upgrade');
    expect(upgrades).toMatchObject([{ schema: 1, state: 'good' }]);
    expect(vmsIn(upgrades[0]?.path ?? '')).toEqual(['kept']);
  });

  it('leave a new database without backups', async () => {
    const path = await databaseIn();
    const store = await openStore(path);
    expect(backupsOf(path)).toEqual([]);
    store.close();
  });

  it('are done all or not at all, and the backup stays', async () => {
    const path = await databaseIn();
    createOfSchema(path, 1);
    addVm(path, 'kept');
    const before = schemaOf(path);
    const broken = { ...next, name: 'core-9002-broken', sql: 'CREATE TABLE half (a); NONSENSE' };
    for (const last of [
      broken,
      { ...broken, sql: 'DELETE FROM run; INSERT INTO run (vm_id, state) VALUES (1, 2)' },
    ]) {
      const error = await failureOf(
        openStore(path, { migrations: [...coreMigrations, next, last] }),
      );
      expect(error.message).toContain('core-9002-broken failed, and the database is as it was');
      expect(schemaOf(path)).toEqual(before);
    }
    expect(backupsOf(path).map(({ schema }) => schema)).toEqual([1, 1]);
    (await openStore(path)).close();
    expect(vmsIn(path)).toEqual(['kept']);
  });

  it('that leave a row referring to nothing are refused', async () => {
    const path = await databaseIn();
    createOfSchema(path, 1);
    addVm(path, 'kept');
    const orphaning = { ...next, sql: 'DELETE FROM vm' };
    const error = await failureOf(openStore(path, { migrations: [...coreMigrations, orphaning] }));
    expect(error.message).toContain('a row of run refers to nothing');
    expect(vmsIn(path)).toEqual(['kept']);
  });

  it('keep the last three backups, and clear away half of one', async () => {
    const path = await databaseIn();
    const migrations = [...coreMigrations];
    (await openStore(path, { migrations })).close();
    await writeFile(join(path, '..', 'backups', 'banger-1-20200101T000000000Z.db.partial'), 'half');
    for (let index = 1; index <= 5; index++) {
      migrations.push({
        name: `core-900${index}`,
        since: '9.0.0',
        sql: `CREATE TABLE t${index} (a)`,
      });
      (await openStore(path, { migrations })).close();
    }
    const upgrades = listBackups(path, migrations).filter(({ kind }) => kind === 'upgrade');
    const newest = coreMigrations.length + 4;
    expect(upgrades.map(({ schema }) => schema)).toEqual([newest, newest - 1, newest - 2]);
    expect(await readdir(join(path, '..', 'backups'))).not.toContainEqual(
      expect.stringContaining('partial'),
    );
  });

  it('are not begun where no backup can be made', async () => {
    const path = await databaseIn();
    createOfSchema(path, 1);
    await writeFile(join(path, '..', 'backups'), 'not a folder');
    await failureOf(openStore(path));
    expect(schemaOf(path).migrations).toHaveLength(1);
  });
});

describe('a database of a newer banger', () => {
  it('is refused with the version that is needed, and left as it is', async () => {
    const path = await databaseIn();
    const knows = coreMigrations.length;
    const later = { ...next, name: 'core-9002-later', since: '10.0.0', sql: 'CREATE TABLE t (a)' };
    (await openStore(path, { migrations: [...coreMigrations, next, later] })).close();
    const before = schemaOf(path);
    const error = await failureOf(openStore(path));
    expect(error).toMatchObject({ code: 'STORE_TOO_NEW' });
    expect(error.message).toMatch(
      new RegExp(`schema ${knows + 2}, this one knows ${knows}; banger 10\\.0\\.0 is needed$`),
    );
    expect(error.remedy).toBe('Install banger 10.0.0 or a later one.');
    expect(schemaOf(path)).toEqual(before);
  });
});

describe('daily backups', () => {
  it('are made when the daemon ends, of what it changed', async () => {
    const path = await databaseIn();
    const store = await openStore(path);
    addVm(store.durable, 'one');
    store.close();
    const [first] = backupsOf(path);
    expect(vmsIn(first?.path ?? '')).toEqual(['one']);
    (await openStore(path)).close();
    expect(backupsOf(path)).toEqual([first]);
  });

  it('are the last of each of three days', async () => {
    const path = await databaseIn();
    (await openStore(path)).close();
    const [today] = backupsOf(path);
    const days = ['20260101', '20260102', '20260103', '20260104'];
    for (const day of days)
      for (const hour of ['08', '20'])
        await copyFile(
          today?.path ?? '',
          join(path, '..', 'backups', `daily-2-${day}T${hour}0000000Z.db`),
        );
    const store = await openStore(path);
    addVm(store.durable, 'one');
    store.close();
    const names = backupsOf(path).map(({ name }) => name.slice(0, 18));
    expect(names.slice(1)).toEqual(['daily-2-20260104T2', 'daily-2-20260103T2']);
    expect(names).toHaveLength(3);
  });
});

describe('a damaged database', () => {
  type Harm = readonly [what: string, harm: (path: string) => Promise<unknown>];
  const overwrite = async (path: string, offset: number, bytes: Buffer): Promise<void> => {
    const file = await open(path, 'r+');
    await file.write(bytes, 0, bytes.length, offset);
    await file.close();
  };
  const harms: readonly Harm[] = [
    ['header', (path) => overwrite(path, 0, Buffer.alloc(100))],
    // The root page of the first table: pages have 4096 bytes.
    ['page', (path) => overwrite(path, 4096, Buffer.alloc(4096, 0xa5))],
    ['length', (path) => truncate(path, 3 * 4096)],
    ['odd length', (path) => truncate(path, 5000)],
    ['whole content', (path) => writeFile(path, 'no database at all\n'.repeat(500))],
    ['every byte', (path) => truncate(path, 0)],
  ];
  it.each(harms)('in its %s is refused, and restored by what the error names', async (_, harm) => {
    const path = await databaseIn();
    const store = await openStore(path);
    addVm(store.durable, 'kept');
    store.close();
    await harm(path);
    const error = await failureOf(openStore(path));
    expect(error.code).toBe('STORE_CORRUPT');
    const [backup] = backupsOf(path);
    expect(error.message).toContain(`its newest good backup is ${backup?.path ?? '?'}, of `);
    expect(error.message).not.toContain('\n');
    const named = /`banger daemon restore (\S+)`/.exec(error.remedy)?.[1];
    const report = restoreStore(path, named);
    expect(report.setAside).toMatch(/banger\.db\.corrupt-\d{8}T/);
    (await openStore(path)).close();
    expect(vmsIn(path)).toEqual(['kept']);
  });

  it('names no backup that is damaged too', async () => {
    const path = await databaseIn();
    (await openStore(path)).close();
    const [good] = backupsOf(path);
    const folder = join(path, '..', 'backups');
    await writeFile(join(folder, 'daily-2-20990101T000000000Z.db'), 'rubbish');
    await truncate(path, 5000);
    expect((await failureOf(openStore(path))).message).toContain(good?.name);
    expect(backupsOf(path).map(({ state }) => state)).toEqual(['damaged', 'good']);
    await rm(good?.path ?? '');
    const error = await failureOf(openStore(path));
    expect(error.message).toContain('there is no good backup');
    expect(error.remedy).toContain('doctor --leaks --fix');
    expect(await failureOf(() => restoreStore(path, undefined))).toMatchObject({
      code: 'STORE_CORRUPT',
    });
  });

  it('is one whose log of changes is missing', async () => {
    const path = await databaseIn();
    (await openStore(path)).close();
    const store = await openStore(path);
    addVm(store.durable, 'lost');
    // As a killed daemon leaves it.
    const killed = await databaseIn();
    for (const part of ['', '-wal', '-shm']) await copyFile(path + part, killed + part);
    store.close();
    const whole = await databaseIn();
    for (const part of ['', '-wal', '-shm']) await copyFile(killed + part, whole + part);
    const opened = await openStore(whole);
    opened.close();
    expect(vmsIn(whole)).toEqual(['lost']);

    await rm(`${killed}-wal`);
    const error = await failureOf(openStore(killed));
    expect(error.code).toBe('STORE_CORRUPT');
    expect(error.message).toContain(`the newest changes are missing, with the file ${killed}-wal`);
    // What is there can be taken as it is.
    restoreStore(killed, killed);
    (await openStore(killed)).close();
    expect(vmsIn(killed)).toEqual([]);
  });

  it('is not one that another program only looked at', async () => {
    const path = await databaseIn();
    const store = await openStore(path);
    addVm(store.durable, 'kept');
    const copy = await databaseIn();
    for (const part of ['', '-wal', '-shm']) await copyFile(path + part, copy + part);
    store.close();
    expect(vmsIn(copy)).toEqual(['kept']);
    (await openStore(copy)).close();
    expect(vmsIn(copy)).toEqual(['kept']);
  });

  it('is not another program’s, which is left alone', async () => {
    const path = await databaseIn();
    const other = new Database(path);
    other.exec('CREATE TABLE theirs (a)');
    other.close();
    expect((await failureOf(openStore(path))).message).toContain('another program');
    expect(schemaOf(path).tables).toEqual(['theirs']);
  });
});

describe('restore', () => {
  it('keeps a database in order unless told which backup', async () => {
    const path = await databaseIn();
    const store = await openStore(path);
    addVm(store.durable, 'old');
    store.close();
    const [backup] = backupsOf(path);
    addVm(path, 'new');
    const error = await failureOf(() => restoreStore(path, undefined));
    expect(error).toMatchObject({ code: 'INPUT_INVALID' });
    const { setAside } = restoreStore(path, backup?.name);
    expect(vmsIn(path)).toEqual(['old']);
    expect(vmsIn(setAside ?? '')).toEqual(['new', 'old']);
    expect(setAside).toContain('.replaced-');
  });

  it('takes an earlier schema, which is then upgraded', async () => {
    const path = await databaseIn();
    createOfSchema(path, 1);
    addVm(path, 'kept');
    (await openStore(path)).close();
    const upgrade = backupsOf(path).find(({ kind }) => kind === 'upgrade');
    restoreStore(path, upgrade?.name);
    expect(schemaOf(path).migrations).toHaveLength(1);
    (await openStore(path)).close();
    expect(schemaOf(path).migrations).toHaveLength(coreMigrations.length);
  });

  it('leaves no log of the old database to the new one', async () => {
    const path = await databaseIn();
    const store = await openStore(path);
    addVm(store.durable, 'old');
    store.close();
    const backup = `${path}.old`;
    await copyFile(backupsOf(path)[0]?.path ?? '', backup);
    const again = await openStore(path);
    addVm(again.durable, 'new');
    const killed = await databaseIn();
    for (const part of ['', '-wal', '-shm']) await copyFile(path + part, killed + part);
    again.close();
    const { setAside } = restoreStore(killed, backup);
    expect(vmsIn(killed)).toEqual(['old']);
    expect(vmsIn(setAside ?? '')).toEqual(['new', 'old']);
  });

  it('refuses what is not there, not whole or too new', async () => {
    const path = await databaseIn();
    (await openStore(path)).close();
    const folder = join(path, '..', 'backups');
    await writeFile(join(folder, 'rubbish.db'), 'rubbish');
    const newer = join(folder, 'newer.db');
    (await openStore(newer, { migrations: [...coreMigrations, next] })).close();
    for (const [wanted, code] of [
      ['none', 'INPUT_INVALID'],
      [join(folder, 'rubbish.db'), 'STORE_CORRUPT'],
      [newer, 'STORE_TOO_NEW'],
    ] as const) {
      const error = await failureOf(() => restoreStore(path, wanted));
      expect(error).toBeInstanceOf(BangerError);
      expect(error.code).toBe(code);
    }
    (await openStore(path)).close();
  });
});
