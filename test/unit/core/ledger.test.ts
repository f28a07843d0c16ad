import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineCapability, type Capability } from '../../../core/capability.ts';
import { findLeaks } from '../../../core/ledger/leaks.ts';
import type { Ledger } from '../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../core/ledger/rows.ts';
import type { Store } from '../../../core/store/store.ts';
import { unwindRun, unwindVm } from '../../../core/lifecycle/unwind.ts';
import { createTestLedger, testHost } from '../../support/ledger.ts';

/** A capability whose host objects are files. */
const fileCapability = (id: string, refuses: ReadonlySet<string> = new Set()): Capability =>
  defineCapability({
    id,
    summary: 'files',
    config: z.object({}),
    identity: { version: 1, schema: z.object({ path: z.string() }) },
    teardown: {
      cleanup: async ({ identity }) => {
        if (refuses.has(identity.path)) throw new Error('EPERM');
        await rm(identity.path, { force: true });
      },
      reconcile: ({ identity }) => Promise.resolve(existsSync(identity.path) ? 'healthy' : 'lost'),
      // Files named `token-NAME` tell their claim's token; one named `mute` tells no more than that.
      scan: async ({ directory }) =>
        (await readdir(directory)).flatMap((name) => {
          const token = /^(\w+)-/.exec(name)?.[1];
          if (token === undefined) return [];
          const path = join(directory, name);
          const identity = name.endsWith('mute') ? {} : { identity: { path } };
          return [{ token, description: path, ...identity }];
        }),
    },
    setup: () => ({}),
  });

const never = new AbortController().signal;
const owner = { vmId: 'vm-1', runId: 'run-1' };

describe('Ledger', () => {
  let folder: string;
  let refuses: Set<string>;
  let files: Capability;
  let ledger: Ledger;
  let rows: ClaimRows;
  let store: Store;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-ledger-'));
    refuses = new Set();
    files = fileCapability('files', refuses);
    ({ ledger, rows, store } = await createTestLedger([files], testHost(folder)));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  const make = (path: string) => async () => {
    await writeFile(path, '');
    return { value: path };
  };

  it('writes the intent before the object exists, and held after', async () => {
    const claims = ledger.bind(files, owner, never);
    const path = join(folder, 'a');
    let during: string | undefined;
    await claims.acquire({ key: 'a', scope: 'run', identity: { path } }, async () => {
      during = rows.byKey('files', 'a')?.state;
      return make(path)();
    });
    expect(during).toBe('intent');
    expect(rows.byKey('files', 'a')?.state).toBe('held');
  });

  it('undoes at once what fails where nobody unwinds, as after an action', async () => {
    const path = join(folder, 'a');
    const half = async (): Promise<never> => {
      await writeFile(path, '');
      throw new Error('half-way');
    };
    const claim = { key: 'a', scope: 'vm', identity: { path } } as const;
    await expect(ledger.bind(files, owner, never).acquire(claim, half)).rejects.toThrow('half-way');
    expect([existsSync(path), rows.select({}).length]).toEqual([true, 1]);
    await unwindVm(ledger, owner.vmId);
    const ofAction = ledger.bind(files, { ...owner, isUnwound: false }, never);
    await expect(ofAction.acquire(claim, half)).rejects.toThrow('half-way');
    expect([existsSync(path), rows.select({}).length]).toEqual([false, 0]);
    await ofAction.acquire(claim, make(path));
    expect(rows.byKey('files', 'a')).toMatchObject({ owner_id: 'vm-1', state: 'held' });
  });

  it('lets one of two have a key', async () => {
    const claims = ledger.bind(files, owner, never);
    const path = join(folder, 'a');
    await claims.acquire({ key: 'a', scope: 'run', identity: { path } }, make(path));
    await expect(
      claims.acquire({ key: 'a', scope: 'run', identity: { path } }, make(path)),
    ).rejects.toMatchObject({ code: 'CLAIM_CONFLICT' });
  });

  it('undoes a failed start newest first, and keeps held vm claims', async () => {
    const claims = ledger.bind(files, owner, never);
    const disk = join(folder, 'disk');
    const tap = join(folder, 'tap');
    const half = join(folder, 'half');
    await claims.acquire({ key: 'disk', scope: 'vm', identity: { path: disk } }, make(disk));
    await claims.acquire({ key: 'tap', scope: 'run', identity: { path: tap } }, make(tap));
    await expect(
      claims.acquire({ key: 'half', scope: 'vm', identity: { path: half } }, async () => {
        await writeFile(half, '');
        throw new Error('no space');
      }),
    ).rejects.toThrow('no space');
    expect(await unwindRun(ledger, 'vm-1', 'run-1')).toEqual([]);
    expect([disk, tap, half].map((path) => existsSync(path))).toEqual([true, false, false]);
    expect(rows.select({}).map(({ key }) => key)).toEqual(['disk']);
    expect(await unwindVm(ledger, 'vm-1')).toEqual([]);
    expect(existsSync(disk)).toBe(false);
  });

  it('goes on past a claim that cannot be released, and keeps its row', async () => {
    const claims = ledger.bind(files, owner, never);
    const paths = ['a', 'b', 'c'].map((key) => join(folder, key));
    for (const path of paths)
      await claims.acquire({ key: path, scope: 'run', identity: { path } }, make(path));
    refuses.add(paths[1] ?? '');
    const failures = await unwindRun(ledger, 'vm-1', 'run-1');
    expect(failures.map(({ claimId }) => claimId)).toEqual([`files/${paths[1] ?? ''}`]);
    expect(paths.map((path) => existsSync(path))).toEqual([false, true, false]);
    expect(rows.select({}).map(({ state }) => state)).toEqual(['releasing']);
  });

  it('knows that another boot has taken along what runs, whoever stands on it, and no disk', async () => {
    const row = (key: string, scope: 'host' | 'run' | 'vm', boot: string, uses: string[] = []) => {
      const identity = JSON.stringify({ path: join(folder, key) });
      const owned = scope === 'host' ? null : 'vm-1';
      const common = { capability: 'files', key, token: key, version: 1, owner_id: owned };
      rows.insert({
        ...common,
        scope,
        run_id: scope === 'run' ? 'run-1' : null,
        identity,
        uses: JSON.stringify(uses),
        boot_id: boot,
      });
    };
    row('bridge', 'host', 'boot-0');
    row('tap', 'run', 'boot-0', ['files/bridge']);
    row('disk', 'vm', 'boot-0');
    row('rules', 'host', 'boot-1');
    expect(await ledger.unwindOtherBoots()).toEqual([]);
    expect(rows.select({}).map(({ key }) => key)).toEqual(['disk', 'rules']);
  });

  const damage = (token: string, change: { identity?: string; version?: number } = {}) =>
    rows.insert({
      capability: 'files',
      key: token,
      token,
      scope: 'run',
      owner_id: 'vm-1',
      run_id: 'run-1',
      identity: '{"path":',
      version: 1,
      uses: '[]',
      boot_id: 'boot-1',
      ...change,
    });

  it('finds what a damaged row was of by its token, and goes on', async () => {
    const claims = ledger.bind(files, owner, never);
    const path = join(folder, 'a');
    await claims.acquire({ key: 'a', scope: 'run', identity: { path } }, make(path));
    await writeFile(join(folder, 'bbbbb-object'), '');
    await writeFile(join(folder, 'ccccc-other'), '');
    damage('bbbbb');
    damage('eeeee'); // of nothing that is there
    expect(await unwindRun(ledger, 'vm-1', 'run-1')).toEqual([]);
    expect(await readdir(folder)).toEqual(['ccccc-other']);
    expect(rows.select({})).toEqual([]);
  });

  it('keeps a damaged row whose object does not tell enough to be removed', async () => {
    await writeFile(join(folder, 'bbbbb-mute'), '');
    damage('bbbbb');
    const [failure] = await unwindRun(ledger, 'vm-1', 'run-1');
    expect(failure).toMatchObject({ claimId: 'files/bbbbb', error: { code: 'CLAIM_UNREADABLE' } });
    expect(rows.select({})).toHaveLength(1);
  });

  it('keeps a row of a newer version, whatever is on the host', async () => {
    await writeFile(join(folder, 'bbbbb-object'), '');
    damage('bbbbb', { version: 2 });
    const [failure] = await unwindRun(ledger, 'vm-1', 'run-1');
    expect(failure).toMatchObject({ error: { code: 'CLAIM_TOO_NEW' } });
    expect(await readdir(folder)).toEqual(['bbbbb-object']);
  });

  it('releases others past a row whose references are damaged', async () => {
    const claims = ledger.bind(files, owner, never);
    const path = join(folder, 'a');
    await claims.acquire({ key: 'a', scope: 'run', identity: { path } }, make(path));
    damage('bbbbb', { identity: JSON.stringify({ path: join(folder, 'bbbbb-x') }) });
    store.volatile.prepare(`UPDATE claim SET uses = '["files' WHERE key = 'bbbbb'`).run();
    expect(await unwindRun(ledger, 'vm-1', 'run-1')).toEqual([]);
    expect(existsSync(path)).toBe(false);
  });

  describe('against the host', () => {
    const survey = async (): Promise<string[]> =>
      (await findLeaks(ledger)).map((leak) => {
        if (leak.kind === 'orphan') return `orphan ${leak.found.token}`;
        if (leak.kind === 'gone') return `gone ${leak.claim.key}`;
        return `${leak.kind} ${leak.kind === 'unreadable' ? leak.row.key : leak.why}`;
      });

    it('finds what no claim knows, and claims without an object', async () => {
      const claims = ledger.bind(files, owner, never);
      for (const token of ['aaaaa', 'bbbbb']) {
        const path = join(folder, `${token}-object`);
        const claim = { key: token, token, scope: 'run' as const, identity: { path } };
        await claims.acquire(claim, make(path));
      }
      expect(await survey()).toEqual([]);
      await rm(join(folder, 'aaaaa-object'));
      await writeFile(join(folder, 'ccccc-object'), '');
      damage('ddddd');
      store.volatile.prepare(`UPDATE claim SET state = 'held' WHERE key = 'ddddd'`).run();
      expect(await survey()).toEqual(['orphan ccccc', 'gone aaaaa', 'unreadable ddddd']);
    });

    it('removes an orphan by its cleanup, and leaves it as it was where that fails', async () => {
      for (const name of ['ccccc-object', 'eeeee-object', 'fffff-mute'])
        await writeFile(join(folder, name), '');
      refuses.add(join(folder, 'eeeee-object'));
      const outcomes: string[] = [];
      for (const leak of await findLeaks(ledger)) {
        if (leak.kind !== 'orphan') continue;
        outcomes.push(
          await ledger.releaseOrphan(files, leak.found).then(
            () => 'removed',
            (error: unknown) => (error instanceof Error ? error.message : ''),
          ),
        );
      }
      expect(outcomes).toEqual(['removed', 'EPERM', expect.stringContaining('does not tell')]);
      expect(rows.select({})).toEqual([]);
      expect(await survey()).toEqual(['orphan eeeee', 'orphan fffff']);
    });
  });

  it('refuses to release what another claim uses, and names the user', async () => {
    const claims = ledger.bind(files, null, never);
    const image = join(folder, 'image');
    const disk = join(folder, 'disk');
    await claims.acquire({ key: 'image', scope: 'store', identity: { path: image } }, make(image));
    await ledger
      .bind(files, owner, never)
      .acquire(
        { key: 'disk', scope: 'vm', identity: { path: disk }, uses: ['files/image'] },
        make(disk),
      );
    const [claim] = claims.list({ scope: 'store' });
    if (claim === undefined) throw new Error('no claim');
    await expect(claims.release(claim)).rejects.toMatchObject({
      code: 'CLAIM_IN_USE',
      message: expect.stringContaining('files/disk') as string,
    });
    expect(existsSync(image)).toBe(true);
    await unwindVm(ledger, 'vm-1');
    await claims.release(claim);
    expect(existsSync(image)).toBe(false);
  });

  it('refuses a claim on something that is not held', async () => {
    await expect(
      ledger
        .bind(files, owner, never)
        .acquire({ key: 'a', scope: 'vm', identity: { path: 'x' }, uses: ['files/none'] }, () =>
          Promise.reject(new Error('not reached')),
        ),
    ).rejects.toMatchObject({ code: 'CLAIM_CONFLICT' });
    expect(rows.select({})).toEqual([]);
  });

  it('awaits allocations in flight before it cleans, and refuses late ones', async () => {
    const claims = ledger.bind(files, owner, never);
    const path = join(folder, 'slow');
    let finish = (): void => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const acquiring = claims.acquire(
      { key: 'slow', scope: 'run', identity: { path } },
      async () => {
        await gate;
        return make(path)();
      },
    );
    const unwinding = unwindRun(ledger, 'vm-1', 'run-1');
    await expect(
      claims.acquire({ key: 'late', scope: 'run', identity: { path } }, make(path)),
    ).rejects.toMatchObject({ code: 'CLAIMS_CLOSED' });
    finish();
    await acquiring;
    expect(await unwinding).toEqual([]);
    expect(existsSync(path)).toBe(false);
    expect(rows.select({})).toEqual([]);
  });

  it('makes a shared thing once for all who ask at the same time', async () => {
    const claims = ledger.bind(files, null, never);
    const path = join(folder, 'bridge');
    let made = 0;
    const ensure = () =>
      claims.ensure({ key: 'bridge', scope: 'host', identity: { path } }, async () => {
        made++;
        await writeFile(path, '');
        return { value: undefined };
      });
    const [first, second] = await Promise.all([ensure(), ensure()]);
    const third = await ensure();
    expect(made).toBe(1);
    expect(new Set([first.seq, second.seq, third.seq]).size).toBe(1);
  });

  it('undoes a shared thing that failed to be made, by the same path', async () => {
    const claims = ledger.bind(files, null, never);
    const path = join(folder, 'bridge');
    await expect(
      claims.ensure({ key: 'bridge', scope: 'host', identity: { path } }, async () => {
        await writeFile(path, '');
        throw new Error('half-way');
      }),
    ).rejects.toThrow('half-way');
    expect(existsSync(path)).toBe(false);
    expect(rows.select({})).toEqual([]);
  });

  it('hands an idle host claim to one run only', async () => {
    const host = ledger.bind(files, null, never);
    const path = join(folder, 'warm');
    await host.acquire({ key: 'warm', scope: 'host', identity: { path } }, make(path));
    const first = ledger.bind(files, owner, never).take(() => true);
    const second = ledger.bind(files, { vmId: 'vm-2', runId: 'run-2' }, never).take(() => true);
    expect(first).toMatchObject({ key: 'warm', scope: 'run', ownerId: 'vm-1' });
    expect(second).toBeUndefined();
  });

  it('tells what is lost, oldest first', async () => {
    const claims = ledger.bind(files, owner, never);
    for (const key of ['a', 'b'])
      await claims.acquire(
        { key, scope: 'run', identity: { path: join(folder, key) } },
        make(join(folder, key)),
      );
    await rm(join(folder, 'a'));
    expect((await ledger.reconcile({ ownerId: 'vm-1' })).map(({ found }) => found)).toEqual([
      'lost',
      'healthy',
    ]);
  });

  it('leaves no file and no row behind, whatever fails where (property)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ scope: fc.constantFrom('run', 'vm', 'op'), fails: fc.boolean() }), {
          maxLength: 8,
        }),
        async (steps) => {
          const claims = ledger.bind(files, owner, never);
          for (const [index, { scope, fails }] of steps.entries()) {
            const path = join(folder, `p${String(index)}`);
            const done = claims.acquire(
              { key: path, scope: scope, identity: { path } },
              async () => {
                await writeFile(path, '');
                if (fails) throw new Error('fails');
                return { value: undefined };
              },
            );
            await done.catch(() => undefined);
            if (fails) break;
          }
          expect(await unwindRun(ledger, 'vm-1', 'run-1')).toEqual([]);
          const kept = rows.select({});
          expect(kept.every(({ scope, state }) => scope === 'vm' && state === 'held')).toBe(true);
          for (const { key } of kept) expect(existsSync(key)).toBe(true);
          expect(await unwindVm(ledger, 'vm-1')).toEqual([]);
          expect(rows.select({})).toEqual([]);
          expect(steps.some((_, index) => existsSync(join(folder, `p${String(index)}`)))).toBe(
            false,
          );
        },
      ),
      { numRuns: 50 },
    );
  });
});
