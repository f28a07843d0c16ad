import { access, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { firecrackerCapability } from '../../../capabilities/firecracker/index.ts';
import { qemuCapability } from '../../../capabilities/qemu/index.ts';
import type { Capability } from '../../../core/capability.ts';
import { deadlineSignal } from '../../../core/deadline.ts';
import { isProcessAlive } from '../../../core/host/process-identity.ts';
import type { VmmDriver } from '../../../core/vmm/driver.ts';
import { buildDouble, doubleIn, jailerIn } from '../../support/firecracker-double/make.ts';
import {
  firstOf,
  needsCgroups,
  needsRoot,
  needsTools,
  type Reason,
} from '../../support/reasons.ts';
import { describeUnless, itUnless } from '../../support/skip.ts';
import { DriverWorld, never } from './support/driver-world.ts';
import { stubVmmCapability } from './support/stub-driver.ts';

interface Candidate {
  /** Where the capability is there in more than one way. */
  readonly how?: string;
  readonly capability: Capability;
  readonly reason: Reason;
  /** What it needs to run here. @param folder for what is made */
  config(folder: string): Promise<object>;
}

const needsQemu = needsTools('qemu-system-x86_64');
/** A VMM driver of a plugin is a line here. */
const candidates: readonly Candidate[] = [
  {
    capability: qemuCapability,
    reason: needsQemu,
    config: () => Promise.resolve({ acceleration: 'tcg' }),
  },
  {
    // By its double: see test/support/firecracker-double.
    capability: firecrackerCapability,
    reason: needsQemu,
    config: async (folder) => {
      await buildDouble(folder);
      return { binary: await doubleIn(folder) };
    },
  },
  {
    capability: firecrackerCapability,
    how: 'in a jail',
    reason: firstOf(needsRoot(), needsQemu),
    config: async (folder) => {
      await buildDouble(folder);
      return {
        binary: await doubleIn(folder),
        jailer: true,
        jailer_binary: await jailerIn(folder),
      };
    },
  },
  { capability: stubVmmCapability, reason: undefined, config: () => Promise.resolve({}) },
];

const settled = async (until: () => Promise<boolean>): Promise<void> => {
  const end = performance.now() + 10_000;
  while (!(await until())) {
    if (performance.now() > end) throw new Error('it does not come about');
    await delay(10);
  }
};

for (const { capability, how, reason, config } of candidates) {
  const title = how === undefined ? capability.id : `${capability.id} ${how}`;
  describeUnless(reason, `the VMM driver ${title}`, () => {
    let folder: string;
    let settings: object;
    let world: DriverWorld;
    let driver: VmmDriver;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'bgr-vmm-'));
      settings = await config(folder);
    });
    afterAll(() => rm(folder, { recursive: true }));
    beforeEach(async () => {
      world = await DriverWorld.create(capability);
      await world.makeIdleKernel();
      driver = await world.driver(settings);
      // As core does before every boot.
      await driver.probe();
    });
    afterEach(() => world.dispose());

    const sockets = async (): Promise<string[]> =>
      (await readdir(world.host.directory, { recursive: true })).filter(
        (path) => path.endsWith('.sock') && !path.includes('/double/'),
      );

    it('says what it is called, takes and offers', () => {
      expect(driver.id).toBe(capability.id);
      expect(driver.diskFormats).toContain('raw');
      expect(['ports', 'vsock']).toContain(driver.agentChannel);
    });

    it('says what is missing, and how to mend it, and starts nothing', async () => {
      const without = await world.driver({ ...settings, binary: 'no-such-vmm' });
      expect(await without.probe()).toMatchObject({
        usable: false,
        remedy: expect.stringMatching(/\w/) as string,
      });
      await expect(world.boot(without)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
      expect(await world.unwind()).toEqual([]);
      expect(world.rows.select({ scopes: ['run'] })).toEqual([]);
      expect(await world.processes()).toEqual([]);
    });

    it('boots into a process that is a claim, with a folder and logs', async () => {
      const { process, logs, agent } = await world.boot(driver);
      expect(await isProcessAlive(process)).toBe(true);
      expect(world.rows.select({ scopes: ['run'] })).toMatchObject([{ state: 'held' }]);
      expect(await world.processes()).toHaveLength(1);
      for (const path of Object.values(logs)) expect(path).toContain(world.host.directory);
      expect(agent.kind).toBe(driver.agentChannel);
    });

    itUnless(needsCgroups(), 'runs in a cgroup of its own, which goes with it', async () => {
      const { process } = await world.boot(driver);
      const [path = ''] = await world.cgroups();
      expect(path).toMatch(/\/banger-[a-z2-7]{6}\/[a-z-]+-[a-z2-7]{8}$/);
      expect(path.split('/').at(-1)).toContain(`${driver.id}-`);
      const procs = (await readFile(join(path, 'cgroup.procs'), 'utf8')).trim().split('\n');
      expect(procs).toContain(String(process.pid));
      // As core does by `doctor --leaks`, where no claim knows it: with the process, and without.
      const found = ((await capability.teardown?.scan(world.host)) ?? []).map(
        ({ identity }) => identity,
      );
      expect(found).toContainEqual(expect.objectContaining({ kind: 'process', cgroup: path }));
      expect(await world.unwind()).toEqual([]);
      expect(await world.cgroups()).toEqual([]);
      await mkdir(path, { recursive: true });
      const [left, ...others] = (await capability.teardown?.scan(world.host)) ?? [];
      expect(left).toMatchObject({ description: `cgroup ${path}`, identity: { cgroup: path } });
      expect(others.filter(({ description }) => description.startsWith('cgroup'))).toEqual([]);
      await rmdir(path);
      await rmdir(join(path, '..'));
    });

    it('is the user that it says before, and has a room only where that is not the daemon', async () => {
      const own = process.getuid?.();
      const uid = (await driver.user?.(world.start(), world.claims())) ?? own;
      const handle = await world.boot(driver);
      const status = await readFile(`/proc/${String(handle.process.pid)}/status`, 'utf8');
      expect(status).toMatch(new RegExp(`^Uid:(\\t${String(uid)}){4}$`, 'm'));
      const found = (await capability.teardown?.scan(world.host)) ?? [];
      const room = z.object({ room: z.string() });
      const rooms = found.flatMap(({ identity }) => room.safeParse(identity).data?.room ?? []);
      expect(new Set(rooms).size).toBe(uid === own ? 0 : 1);
      if (uid !== own) expect(status).toMatch(/^CapPrm:\t0{16}$/m);
      expect(await world.unwind()).toEqual([]);
      // As core does by `doctor --leaks --fix`, where the process is gone and no claim knows of it.
      for (const path of rooms.slice(0, 1)) {
        await mkdir(path);
        const [left] = (await capability.teardown?.scan(world.host)) ?? [];
        expect(left).toMatchObject({ description: `room ${path}`, identity: { room: path } });
        if (left !== undefined) await world.ledger.releaseOrphan(capability, left);
        await expect(access(path)).rejects.toThrow('ENOENT');
      }
    });

    it('ends by its own means or by its claim, and any number of times', async () => {
      const handle = await world.boot(driver);
      await handle.shutdown(deadlineSignal(500));
      expect(await world.unwind()).toEqual([]);
      expect(await isProcessAlive(handle.process)).toBe(false);
      expect(await handle.exited).toMatchObject({ clean: false });
      await handle.shutdown(never);
      expect(await world.unwind()).toEqual([]);
      expect(await sockets()).toEqual([]);
    });

    it('is killed by its claim’s cleanup, whatever it does', async () => {
      const handle = await world.boot(driver);
      process.kill(handle.process.pid, 'SIGSTOP');
      expect(await world.unwind()).toEqual([]);
      expect(await isProcessAlive(handle.process)).toBe(false);
      expect((await handle.exited).clean).toBe(false);
      expect(await sockets()).toEqual([]);
    });

    it('tells of its end when it comes by itself', async () => {
      const handle = await world.boot(driver);
      process.kill(handle.process.pid, 'SIGKILL');
      const exit = await Promise.race([handle.exited, delay(10_000, 'late')]);
      expect(exit).toMatchObject({ clean: false, detail: expect.stringMatching(/\w/) as string });
      expect(await isProcessAlive(handle.process)).toBe(false);
    });

    it('is found again by the next daemon, and is then as good as before', async () => {
      const before = await world.boot(driver);
      world.forget();
      const next = await world.driver(settings);
      const handle = await next.attach(world.start(), world.claims());
      expect(handle?.process).toEqual(before.process);
      expect(handle?.logs).toEqual(before.logs);
      expect(handle?.agent).toEqual(before.agent);
      process.kill(before.process.pid, 'SIGKILL');
      expect((await handle?.exited)?.clean).toBe(false);
      expect(await next.attach(world.start(), world.claims())).toBeUndefined();
    });

    it('is found where its claim cannot be read, too', async () => {
      const before = await world.boot(driver);
      world.forget();
      const nothing = { ...world.claims(), list: () => [] };
      const handle = await (await world.driver(settings)).attach(world.start(), nothing);
      expect(handle?.process).toEqual(before.process);
    });

    it('stands still and goes on, and says which; asked twice it minds as little', async () => {
      const handle = await world.boot(driver);
      if (handle.pause === undefined || handle.resume === undefined)
        throw new Error('it cannot pause');
      expect(await handle.isPaused?.()).toBe(false);
      await handle.pause();
      await handle.pause();
      expect(await handle.isPaused?.()).toBe(true);
      world.forget();
      const found = await (await world.driver(settings)).attach(world.start(), world.claims());
      expect(await found?.isPaused?.()).toBe(true);
      await found?.resume?.();
      await found?.resume?.();
      expect(await found?.isPaused?.()).toBe(false);
    });

    it('goes on from a snapshot, in a process of its own, or has no such thing', async () => {
      const handle = await world.boot(driver);
      const { restore } = driver;
      expect(handle.snapshot === undefined).toBe(restore === undefined);
      if (handle.snapshot === undefined || restore === undefined) return;
      const snapshot = join(folder, 'snapshot');
      await mkdir(snapshot);
      await handle.pause?.();
      await handle.snapshot(snapshot, never);
      expect(await handle.isPaused?.()).toBe(true);
      const taken = await readdir(snapshot);
      expect(taken).not.toEqual([]);
      await handle.resume?.();
      expect(await handle.isPaused?.()).toBe(false);
      expect(await world.unwind()).toEqual([]);

      for (let round = 0; round < 2; round++) {
        const again = await restore(
          await world.prepare(driver, world.start()),
          snapshot,
          world.claims(),
        );
        expect(again.process.pid).not.toBe(handle.process.pid);
        expect(await world.processes()).toHaveLength(1);
        expect(await again.isPaused?.()).toBe(false);
        world.forget();
        const found = await (await world.driver(settings)).attach(world.start(), world.claims());
        expect(found?.process).toEqual(again.process);
        expect(found?.agent).toEqual(again.agent);
        // What goes on from one can be taken, too, and leaves that one as it was.
        const second = join(folder, `snapshot-${String(round)}`);
        await mkdir(second);
        await found?.pause?.();
        await found?.snapshot?.(second, never);
        expect(await readdir(second)).toEqual(taken);
        expect(await readdir(snapshot)).toEqual(taken);
        expect(await world.unwind()).toEqual([]);
        expect(await sockets()).toEqual([]);
        await driver.probe();
      }
    });

    it('leaves nothing of a snapshot that it cannot read', async () => {
      const { restore } = driver;
      if (restore === undefined) return;
      const snapshot = join(folder, 'none');
      await mkdir(snapshot);
      await expect(
        restore(await world.prepare(driver, world.start()), snapshot, world.claims()),
      ).rejects.toThrow(/\w/);
      expect(await world.unwind()).toEqual([]);
      await writeFile(join(snapshot, 'state'), 'no state\n');
      await writeFile(join(snapshot, 'memory'), 'no memory\n');
      await expect(
        restore(await world.prepare(driver, world.start()), snapshot, world.claims()),
      ).rejects.toMatchObject({
        code: 'VMM_FAILED',
      });
      expect(await world.unwind()).toEqual([]);
      expect(await world.processes()).toEqual([]);
      expect(await sockets()).toEqual([]);
    });

    it('leaves nothing of a start that is cancelled', async () => {
      const cancel = new AbortController();
      const booting = world.boot(driver, cancel.signal).then(
        () => 'up',
        () => 'cancelled',
      );
      await settled(() => Promise.resolve(world.rows.select({ scopes: ['run'] }).length > 0));
      cancel.abort(new Error('cancelled'));
      await booting;
      expect(await world.unwind()).toEqual([]);
      expect(await world.processes()).toEqual([]);
      expect(await sockets()).toEqual([]);
    });

    it('leaves alone what another instance has', async () => {
      const other = await DriverWorld.create(capability);
      await other.makeIdleKernel();
      try {
        const theirs = await other.boot(await other.driver(settings));
        expect(await world.processes()).toEqual([]);
        const ours = await world.boot(driver);
        expect(await world.unwind()).toEqual([]);
        expect(await isProcessAlive(ours.process)).toBe(false);
        expect(await isProcessAlive(theirs.process)).toBe(true);
      } finally {
        await other.dispose();
      }
    });

    it('keeps no more than its folder, and that goes with the VM', async () => {
      await world.boot(driver);
      expect(await world.unwind()).toEqual([]);
      expect([...new Set(world.rows.select({}).map(({ scope }) => scope))]).toEqual(['vm']);
      await world.dispose();
      expect(await readdir(world.host.directory)).toEqual([]);
      world = await DriverWorld.create(capability);
    });
  });
}

describe('whatever runs VMs', () => {
  it('is asked by nobody for its name', async () => {
    const repository = join(import.meta.dirname, '..', '..', '..');
    const knowing: string[] = [];
    for (const folder of ['core', 'capabilities', 'cli', 'daemon']) {
      for (const name of await readdir(join(repository, folder), { recursive: true })) {
        if (!name.endsWith('.ts') || /^(?:firecracker|qemu)\//.test(name)) continue;
        const code = await readFile(join(repository, folder, name), 'utf8');
        if (/['"`](?:firecracker|qemu)['"`]/.test(code)) knowing.push(join(folder, name));
      }
    }
    expect(knowing).toEqual([]);
  });
});
