import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { qemuCapability } from '../../../capabilities/qemu/index.ts';
import type { Claim } from '../../../core/claim.ts';
import { isProcessAlive, processIdentity } from '../../../core/host/process-identity.ts';
import { unwindVm } from '../../../core/lifecycle/unwind.ts';
import { newToken } from '../../../core/token.ts';
import { processName } from '../../../core/vmm/process/names.ts';
import { describeUnless, needsTools } from '../../support/skip.ts';
import { DriverWorld, never } from '../vmm/support/driver-world.ts';

/** Processes that a test made; ended by their handle, whatever becomes of the test. */
const children: ChildProcess[] = [];

const named = async (name: string): Promise<ChildProcess> => {
  const script = 'setTimeout(() => {}, 60_000)';
  const child = spawn(process.execPath, ['-e', script, '--', '-name', name], { stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child;
};

describe('the QEMU driver', () => {
  let world: DriverWorld;
  const { teardown } = qemuCapability;
  beforeEach(async () => {
    world = await DriverWorld.create(qemuCapability);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await world.dispose();
  });

  it('says which package brings it', async () => {
    const driver = await world.driver({ binary: 'qemu-system-nosuch', acceleration: 'tcg' });
    expect(await driver.probe()).toMatchObject({
      usable: false,
      remedy: expect.stringContaining('qemu-system-x86') as string,
    });
  });

  describe('a process by its claim', () => {
    const claimOf = (name: string, observed?: Claim['observed']): Claim => ({
      id: `qemu/process:${world.vm.id}`,
      seq: 1,
      capability: 'qemu',
      key: `process:${world.vm.id}`,
      scope: 'run',
      token: name.split('-').at(-1) ?? '',
      ownerId: world.vm.id,
      runId: world.runId,
      identity: { kind: 'process', name, sockets: [join(world.host.directory, 'qmp.sock')] },
      observed,
      uses: [],
      state: observed === undefined ? 'intent' : 'held',
      bootId: world.host.bootId,
    });

    it('is ended by its name alone while it is an intent, its sockets with it', async () => {
      const name = processName(world.host.instance.token, newToken(8));
      const child = await named(name);
      const other = await named(processName(world.host.instance.token, newToken(8)));
      const [identity, bystander] = await Promise.all(
        [child, other].map(({ pid }) => processIdentity(pid ?? -1)),
      );
      if (identity === undefined || bystander === undefined) throw new Error('they ended');
      await writeFile(join(world.host.directory, 'qmp.sock'), '');
      await teardown?.cleanup(claimOf(name), world.host);
      expect(await isProcessAlive(identity)).toBe(false);
      expect(await isProcessAlive(bystander)).toBe(true);
      expect(await readdir(world.host.directory)).toEqual([]);
    });

    it('is not another one that got its pid', async () => {
      const name = processName(world.host.instance.token, newToken(8));
      const child = await named('someone-else');
      const identity = await processIdentity(child.pid ?? -1);
      if (identity === undefined) throw new Error('it ended');
      // The same pid at another time, and the same pid and time under another name.
      const earlier = { ...identity, startTicks: identity.startTicks - 1 };
      for (const observed of [earlier, identity]) {
        const claim = claimOf(name, observed);
        expect(await teardown?.reconcile(claim, world.host)).toBe('lost');
        await teardown?.cleanup(claim, world.host);
        expect(await isProcessAlive(identity)).toBe(true);
      }
    });

    it('is found by its instance, and no other’s', async () => {
      const token = newToken(8);
      await named(processName(world.host.instance.token, token));
      await named(processName(newToken(6), newToken(8)));
      expect(await world.processes()).toEqual([token]);
    });
  });

  describeUnless(needsTools('qemu-system-x86_64'), 'with the real QEMU', () => {
    it('tells what QEMU said of a bad kernel, in this run alone, and leaves nothing', async () => {
      const driver = await world.driver({ acceleration: 'tcg' });
      for (const path of ['/no/such/kernel-1', '/no/such/kernel-2']) {
        world.kernel = path;
        const failure: unknown = await world.boot(driver).catch((error: unknown) => error);
        expect(failure).toMatchObject({
          code: 'VMM_FAILED',
          message: expect.stringMatching(/exit code 1.*\/no\/such\/kernel-/) as string,
          logPath: expect.stringMatching(/vmm\.log$/) as string,
        });
        expect(String(failure)).toContain(path);
        if (path.endsWith('2')) expect(String(failure)).not.toContain('kernel-1');
        expect(await world.unwind()).toEqual([]);
      }
      expect(await world.processes()).toEqual([]);
      expect(world.rows.select({}).map(({ scope }) => scope)).toEqual(['vm']); // the logs' folder
      const [folder = ''] = await readdir(world.host.directory);
      expect(await readdir(join(world.host.directory, folder))).toEqual(['console.log', 'vmm.log']);
      expect(await unwindVm(world.ledger, world.vm.id)).toEqual([]);
      expect(await readdir(world.host.directory)).toEqual([]);
    });

    it('takes a disk whose path has commas and blanks', async () => {
      await world.makeIdleKernel();
      const path = join(world.host.directory, 'a, b,,c.raw');
      await writeFile(path, '');
      await truncate(path, 1024 ** 2);
      const driver = await world.driver({ acceleration: 'tcg' });
      const operation = world.start();
      operation.machine.drives.push({
        id: 'root',
        path,
        format: 'raw',
        readOnly: false,
        durable: true,
      });
      const handle = await driver.boot(operation, world.claims());
      await handle.shutdown(never);
      await rm(path);
      expect(await world.unwind()).toEqual([]);
    });
  });
});
