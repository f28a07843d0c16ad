import { execFile } from 'node:child_process';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LeakReport } from '../../core/api/contract/types.ts';
import { leftovers, tracesOf } from './support/leftovers.ts';
import { pollUntil } from './support/poll.ts';
import { testVmm } from './support/vmm.ts';
import { createWorld, smallVms, type World } from './support/world.ts';

const run = promisify(execFile);

describe('what is on the host', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ config: `${smallVms}[lifecycle]\nhealth_interval = "500ms"\n` });
    await world.ok(['vm', 'create', '--name', 'a']);
  });
  afterAll(() => world.dispose());

  const databasePath = (): string => join(world.stateDirectory, 'banger.db');
  const vmRules = async (): Promise<string[]> => {
    const { instance } = await world.status();
    return (await run('iptables-save')).stdout
      .split('\n')
      .filter((line) => line.includes(`banger:${instance}:`) && !line.includes(' forwarding '));
  };
  const described = async (vm: string, capability: string, key: string): Promise<string> => {
    const value = (await world.show(vm)).capabilities[capability]?.[key];
    if (typeof value !== 'string') throw new Error(`no ${key} of ${capability}`);
    return value;
  };
  const look = async (...more: string[]): Promise<{ code: number; report: LeakReport }> => {
    const { code, stdout } = await world.cli(['doctor', '--leaks', '--json', ...more]);
    return { code, report: JSON.parse(stdout) as LeakReport };
  };

  it('is all accounted for while a VM runs', async () => {
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
  });

  it('is put back where something else flushed it, and the VM is not degraded', async () => {
    const before = await vmRules();
    expect(before).toHaveLength(3);
    for (const line of before) {
      const table = line.includes('POSTROUTING') ? 'nat' : 'filter';
      const args = line.replace(/^-A/, '-D').replaceAll('"', '').split(' ');
      await run('iptables', ['-t', table, ...args]);
    }
    const after = await pollUntil('the rules', 20_000, async () => {
      const rules = await vmRules();
      return rules.length === 3 ? rules : undefined;
    });
    expect(after.sort()).toEqual(before.sort());
    expect((await world.show('a')).conditions).toEqual([]);
  });

  it('is told of as degraded where it cannot be put back, until the VM restarts', async () => {
    await run('ip', ['link', 'delete', 'dev', await described('a', 'tap-pool', 'tap')]);
    const condition = await pollUntil('the condition', 20_000, async () => {
      const [first] = (await world.show('a')).conditions;
      return first;
    });
    expect(condition).toMatchObject({ kind: 'degraded' });
    expect(condition.detail).toContain('tap-pool/tap:');
    expect((await world.list())[0]?.conditions).toHaveLength(1);
    const { code, report } = await look();
    expect(code).toBe(1);
    expect(report.leaks).toMatchObject([{ kind: 'gone', capability: 'tap-pool', vm: 'a' }]);
    // It is the VM's to lose; what runs in it is not ended for a tap.
    const fixed = await look('--fix');
    expect(fixed.code).toBe(1);
    expect(fixed.report.leaks[0]?.detail).toContain('banger vm restart a');
    await world.ok(['vm', 'restart', 'a']);
    expect((await world.show('a')).conditions).toEqual([]);
    expect((await look()).report).toEqual({ ok: true, leaks: [] });
  });

  it('keeps the record of a VM that cannot be deleted whole, and says how to go on', async () => {
    await world.ok(['vm', 'create', '--no-start', '--name', 'stuck']);
    await world.ok(['vm', 'start', 'stuck']);
    await world.ok(['vm', 'stop', 'stuck']);
    const disk = await described('stuck', 'work-disk', 'path');
    await run('chattr', ['+i', disk]);
    const refused = await world.cli(['vm', 'delete', 'stuck']);
    await run('chattr', ['-i', disk]);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain('work-disk/');
    expect(refused.stderr).toContain('banger vm delete stuck');
    expect(await world.show('stuck')).toMatchObject({
      state: 'stopped',
      lastError: { code: 'VM_NOT_CLEAN' },
    });
    await world.ok(['vm', 'delete', 'stuck']);
    expect((await look()).report.ok).toBe(true);
  });

  it('is found after an older database was restored, and no VM on record is ended', async () => {
    await world.ok(['vm', 'stop', 'a']);
    await world.ok(['daemon', 'stop']);
    await copyFile(databasePath(), join(world.root, 'older.db'));
    await world.ok(['vm', 'start', 'a']);
    await world.guest('a', 'echo kept > /root/note; sync');
    const { pid } = await world.show('a');
    await world.killDaemon();
    for (const suffix of ['-wal', '-shm']) await rm(`${databasePath()}${suffix}`, { force: true });
    await copyFile(join(world.root, 'older.db'), databasePath());

    const found = await look();
    expect(found.code).toBe(1);
    const kinds = found.report.leaks.map(({ kind, capability, vm }) => [kind, capability, vm]);
    expect(kinds).toContainEqual(['orphan', testVmm, 'a']);
    expect(kinds).toContainEqual(['orphan', 'tap-pool', null]);
    expect(kinds).toContainEqual(['orphan', 'nat', null]);
    const fixed = await look('--fix');
    expect(fixed.code).toBe(1);
    expect(fixed.report.leaks.filter((leak) => leak.fixed)).toEqual([]);
    expect((await tracesOf(await world.traces())).join('\n')).toContain(`process ${String(pid)} `);

    if (pid !== null) process.kill(pid, 'SIGKILL');
    await pollUntil('the end of the VMM', 10_000, async () =>
      (await tracesOf(await world.traces())).some((line) =>
        line.startsWith(`process ${String(pid)} `),
      )
        ? undefined
        : true,
    );
    expect((await look('--fix')).code).toBe(0);
    expect((await look()).report).toEqual({ ok: true, leaks: [] });
    await world.ok(['vm', 'start', 'a']);
    expect(await world.guest('a', 'cat /root/note')).toBe('kept');
  });

  it('goes with its VM, which runs on where no claim of it can be read any more', async () => {
    const { pid } = await world.show('a');
    await world.killDaemon();
    const database = new Database(databasePath());
    const { changes } = database
      .prepare(`UPDATE claim SET identity = '{"half', uses = '["half' WHERE owner_id IS NOT NULL`)
      .run();
    database.close();
    expect(changes).toBeGreaterThan(3);
    const { code, report } = await look();
    expect(code).toBe(1);
    expect(new Set(report.leaks.map(({ kind, vm }) => `${kind} ${String(vm)}`))).toEqual(
      new Set(['unreadable a']),
    );
    expect(await world.guest('a', 'cat /root/note')).toBe('kept');
    const { conditions, ...vm } = await world.show('a');
    expect(vm).toMatchObject({ state: 'running', pid });
    expect(conditions).toMatchObject([
      { kind: 'degraded', detail: expect.stringContaining(`${testVmm}/process:`) as string },
    ]);
    await world.ok(['vm', 'delete', '--force', 'a']);
    expect((await look()).report).toEqual({ ok: true, leaks: [] });
    await world.ok(['daemon', 'stop']);
    expect(await leftovers(await world.traces())).toEqual([]);
  });
});
