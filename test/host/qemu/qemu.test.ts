import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { qemuArgs } from '../../../capabilities/qemu/args.ts';
import { qemuCapability } from '../../../capabilities/qemu/index.ts';
import { boundedOutput } from '../../../core/vmm/process/logs.ts';
import { processName } from '../../../core/vmm/process/names.ts';
import type { Capability, Handlers } from '../../../core/capability.ts';
import type { Claim } from '../../../core/claim.ts';
import { createExecutor, executorPath } from '../../../core/host/create-executor.ts';
import type { Executor } from '../../../core/host/executor.ts';
import { openHelpersLock, type HelpersLock } from '../../../core/host/helpers-lock.ts';
import type { Host } from '../../../core/host/host.ts';
import { createInstance } from '../../../core/host/instance.ts';
import { isProcessAlive, processIdentity } from '../../../core/host/process-identity.ts';
import type { Ledger } from '../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../core/ledger/rows.ts';
import { unwindRun, unwindVm } from '../../../core/lifecycle/unwind.ts';
import type { StartOperation } from '../../../core/operation/context.ts';
import type { Store } from '../../../core/store/store.ts';
import { newToken } from '../../../core/token.ts';
import type { VmmDriver } from '../../../core/vmm/driver.ts';
import { createTestLedger } from '../../support/ledger.ts';
import { silentLog } from '../../support/silent-log.ts';
import { describeUnless, needsTools } from '../../support/skip.ts';
import { tempDir } from '../../support/temp-dir.ts';

const never = new AbortController().signal;
const vm = { id: '01a20e28-b76e-75da-96b6-56b2140c6100', name: 'test' };
const runId = 'run-1';
const owner = { vmId: vm.id, runId };

/** Processes that a test made; ended by their handle, whatever becomes of the test. */
const children: ChildProcess[] = [];

const named = async (name: string): Promise<ChildProcess> => {
  const script = 'setTimeout(() => {}, 60_000)';
  const child = spawn(process.execPath, ['-e', script, '--', '-name', name], { stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child;
};

const settled = async (until: () => Promise<boolean>): Promise<void> => {
  const end = performance.now() + 10_000;
  while (!(await until())) {
    if (performance.now() > end) throw new Error('it does not come about');
    await delay(10);
  }
};

describe('the QEMU driver', () => {
  let host: Host;
  let lock: HelpersLock;
  let exec: Executor;
  let ledger: Ledger;
  let rows: ClaimRows;
  let store: Store;
  let kernel: string;
  const capability: Capability = qemuCapability;
  const { teardown } = qemuCapability;

  beforeEach(async () => {
    const folder = await tempDir();
    lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: process.getuid?.() === 0,
    });
    const directory = join(folder, 'qemu');
    await mkdir(directory);
    host = {
      exec,
      instance: createInstance(newToken(6)),
      bootId: 'boot-1',
      directory,
      log: silentLog,
    };
    kernel = join(folder, 'kernel');
    ({ ledger, rows, store } = await createTestLedger([capability], host));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await unwindVm(ledger, vm.id);
    store.close();
    await lock.close();
  });

  const setUp = async (config: object = {}): Promise<VmmDriver> => {
    const handlers: Handlers = await capability.setup({
      config: capability.config.parse(config),
      services: {},
      claims: ledger.bind(capability, null, never),
      claimsOf: ({ id }, signal) => ledger.bind(capability, { vmId: id, runId: '' }, signal),
      exec,
      instance: host.instance,
      directory: host.directory,
      configDirectory: '/nowhere',
      cacheDirectory: '/nowhere',
      log: silentLog,
    });
    if (handlers.vmm === undefined) throw new Error('no driver');
    return handlers.vmm;
  };

  const start = (signal = never): StartOperation => ({
    id: 'operation-1',
    kind: 'start',
    signal,
    log: silentLog,
    progress: () => undefined,
    notice: () => undefined,
    runId,
    vm: {
      ...vm,
      image: 'i',
      vcpus: 1,
      memoryMib: 64,
      diskBytes: 0,
      nat: true,
      ephemeral: false,
      createdAt: '',
    },
    machine: {
      vcpus: 1,
      memoryMib: 64,
      kernel: { id: 'k', release: '6', path: kernel, initrdModules: [] },
      bootArgs: [],
      drives: [],
      nics: [],
      seed: { hostname: 'test', dns: [], files: [] },
      agentChannel: 'ports',
      diskFormats: ['raw'],
    },
  });

  const boot = (driver: VmmDriver, signal = never) =>
    driver.boot(start(signal), ledger.bind(capability, owner, signal));

  /** What a process claim's cleanup would end. */
  const ours = async (): Promise<readonly { readonly token: string }[]> =>
    (await teardown?.scan(host))?.filter(({ description }) => /process/.test(description)) ?? [];

  it('says which package brings it, and starts nothing', async () => {
    const driver = await setUp({ binary: 'qemu-system-nosuch', acceleration: 'tcg' });
    expect(await driver.probe()).toMatchObject({
      usable: false,
      remedy: expect.stringContaining('qemu-system-x86') as string,
    });
    await expect(boot(driver)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
    expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
    expect(rows.select({ scopes: ['run'] })).toEqual([]);
    expect(await ours()).toEqual([]);
  });

  describe('a process by its claim', () => {
    const claimOf = (name: string, observed?: Claim['observed']): Claim => ({
      id: `qemu/process:${vm.id}`,
      seq: 1,
      capability: 'qemu',
      key: `process:${vm.id}`,
      scope: 'run',
      token: name.split('-').at(-1) ?? '',
      ownerId: vm.id,
      runId,
      identity: { kind: 'process', name, sockets: [join(host.directory, 'qmp.sock')] },
      observed,
      uses: [],
      state: observed === undefined ? 'intent' : 'held',
      bootId: host.bootId,
    });

    it('is ended by its name alone while it is an intent, its sockets with it', async () => {
      const name = processName(host.instance.token, newToken(8));
      const child = await named(name);
      const other = await named(processName(host.instance.token, newToken(8)));
      const [identity, bystander] = await Promise.all(
        [child, other].map(({ pid }) => processIdentity(pid ?? -1)),
      );
      if (identity === undefined || bystander === undefined) throw new Error('they ended');
      await writeFile(join(host.directory, 'qmp.sock'), '');
      await teardown?.cleanup(claimOf(name), host);
      expect(await isProcessAlive(identity)).toBe(false);
      expect(await isProcessAlive(bystander)).toBe(true);
      expect(await readdir(host.directory)).toEqual([]);
    });

    it('is not another one that got its pid', async () => {
      const name = processName(host.instance.token, newToken(8));
      const child = await named('someone-else');
      const identity = await processIdentity(child.pid ?? -1);
      if (identity === undefined) throw new Error('it ended');
      // The same pid at another time, and the same pid and time under another name.
      const earlier = { ...identity, startTicks: identity.startTicks - 1 };
      for (const observed of [earlier, identity]) {
        const claim = claimOf(name, observed);
        expect(await teardown?.reconcile(claim, host)).toBe('lost');
        await teardown?.cleanup(claim, host);
        expect(await isProcessAlive(identity)).toBe(true);
      }
    });

    it('is found by its instance, and no other’s', async () => {
      const token = newToken(8);
      await named(processName(host.instance.token, token));
      await named(processName(newToken(6), newToken(8)));
      expect((await ours()).map((each) => each.token)).toEqual([token]);
    });
  });

  describeUnless(needsTools('qemu-system-x86_64'), 'with the real QEMU', () => {
    it('tells what QEMU said of a bad kernel, in this run alone, and leaves nothing', async () => {
      const driver = await setUp({ acceleration: 'tcg' });
      for (const path of ['/no/such/kernel-1', '/no/such/kernel-2']) {
        kernel = path;
        const failure: unknown = await boot(driver).catch((error: unknown) => error);
        expect(failure).toMatchObject({
          code: 'VMM_FAILED',
          message: expect.stringMatching(/exit code 1.*\/no\/such\/kernel-/) as string,
          logPath: expect.stringMatching(/vmm\.log$/) as string,
        });
        expect(String(failure)).toContain(path);
        if (path.endsWith('2')) expect(String(failure)).not.toContain('kernel-1');
        expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
      }
      expect(await ours()).toEqual([]);
      expect(rows.select({}).map(({ scope }) => scope)).toEqual(['vm']); // the logs' folder
      const [folder = ''] = await readdir(host.directory);
      expect(await readdir(join(host.directory, folder))).toEqual(['console.log', 'vmm.log']);
      expect(await unwindVm(ledger, vm.id)).toEqual([]);
      expect(await readdir(host.directory)).toEqual([]);
    });

    /** Long enough for QEMU to load, and no code: the guest never does anything. */
    const idleKernel = async (): Promise<void> => {
      // A bzImage's header (boot.rst) with `hlt` instead of code.
      const image = Buffer.alloc(64 * 1024, 0xf4);
      image.fill(0, 0, 1024);
      image.writeUInt8(1, 0x1f1);
      image.writeUInt16LE(0xaa55, 0x1fe);
      image.write('HdrS', 0x202, 'latin1');
      image.writeUInt16LE(0x20c, 0x206);
      image.writeUInt8(1, 0x211);
      image.writeUInt32LE(0x100000, 0x214);
      image.writeUInt32LE(0x37ffffff, 0x22c);
      image.writeUInt32LE(0x7ff, 0x238);
      await writeFile(kernel, image);
    };

    it('runs, and ends by the driver’s own means', async () => {
      await idleKernel();
      const handle = await boot(await setUp({ acceleration: 'tcg' }));
      expect(await isProcessAlive(handle.process)).toBe(true);
      expect(rows.select({ scopes: ['run'] })).toMatchObject([{ state: 'held' }]);
      await handle.shutdown(never);
      expect(await handle.exited).toMatchObject({ clean: false });
      expect(await isProcessAlive(handle.process)).toBe(false);
      await handle.shutdown(never); // any number of times
      expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
    });

    it('is found again by the next daemon, by its claims', async () => {
      await idleKernel();
      const claims = ledger.bind(capability, owner, never);
      // As the daemon before has left it: claims, and a QEMU whose only client has gone.
      const token = newToken(8);
      const name = processName(host.instance.token, token);
      const folder = join(host.directory, `vm-${newToken(8)}`);
      await claims.ensure(
        { key: `folder:${vm.id}`, scope: 'vm', identity: { kind: 'folder', path: folder } },
        async () => {
          await mkdir(folder);
          return { value: undefined };
        },
      );
      const identity = { kind: 'process', name, sockets: [join(folder, 'qmp.sock')] };
      await claims.acquire({ key: `process:${vm.id}`, scope: 'run', token, identity }, async () => {
        const args = qemuArgs(
          name,
          start().vm.id,
          start().machine,
          kernel,
          { kind: 'tcg', why: '' },
          undefined,
        );
        const logPath = join(folder, 'vmm.log');
        const { pid, startTicks } = await exec.detach('qemu-system-x86_64', args, {
          cwd: folder,
          logPath,
          through: boundedOutput(),
        });
        return { value: undefined, observed: { pid, startTicks } };
      });
      const driver = await setUp({ acceleration: 'tcg' });
      const handle = await driver.attach(start(), claims);
      if (handle === undefined) throw new Error('it was not found');
      expect(await isProcessAlive(handle.process)).toBe(true);
      expect(handle.logs['console']).toBe(join(folder, 'console.log'));
      await handle.shutdown(never);
      expect((await handle.exited).clean).toBe(false);
      // Gone by now, and that is an answer too.
      expect(await driver.attach(start(), claims)).toBeUndefined();
      await unwindVm(ledger, vm.id);
      await rm(folder, { recursive: true, force: true });
    });

    it('is killed by its claim’s cleanup, whatever it does', async () => {
      await idleKernel();
      const handle = await boot(await setUp({ acceleration: 'tcg' }));
      process.kill(handle.process.pid, 'SIGSTOP');
      expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
      expect(await isProcessAlive(handle.process)).toBe(false);
      expect((await handle.exited).detail).toContain('SIGKILL');
      const [folder = ''] = await readdir(host.directory);
      const left = await readdir(join(host.directory, folder));
      expect(left.filter((name) => name.endsWith('.sock'))).toEqual([]);
    });

    it('leaves nothing of a start that is cancelled', async () => {
      await idleKernel();
      const cancel = new AbortController();
      const driver = await setUp({ acceleration: 'tcg' });
      const booting = boot(driver, cancel.signal).then(
        () => 'up',
        () => 'cancelled',
      );
      await settled(async () => rows.select({ scopes: ['run'] }).length > 0);
      cancel.abort(new Error('cancelled'));
      await booting;
      expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
      expect(await ours()).toEqual([]);
    });

    it('takes a disk whose path has commas and blanks', async () => {
      await idleKernel();
      const path = join(host.directory, 'a, b,,c.raw');
      await writeFile(path, '');
      await truncate(path, 1024 ** 2);
      const driver = await setUp({ acceleration: 'tcg' });
      const operation = start();
      operation.machine.drives.push({
        id: 'root',
        path,
        format: 'raw',
        readOnly: false,
        durable: true,
      });
      const handle = await driver.boot(operation, ledger.bind(capability, owner, never));
      await handle.shutdown(never);
      await rm(path);
      expect(await unwindRun(ledger, vm.id, runId)).toEqual([]);
    });
  });
});
