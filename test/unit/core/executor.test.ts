import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor, executorPath } from '../../../core/host/create-executor.ts';
import type { Executor } from '../../../core/host/executor.ts';
import { helpersOf, openHelpersLock, type HelpersLock } from '../../../core/host/helpers-lock.ts';
import { isProcessAlive } from '../../../core/host/process-identity.ts';
import { silentLog } from '../../support/silent-log.ts';

describe('Executor', () => {
  let folder: string;
  let lock: HelpersLock;
  let exec: Executor;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'banger-executor-'));
    lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: true,
    });
  });
  afterAll(async () => {
    await lock.close();
    await rm(folder, { recursive: true });
  });

  it('passes argv untouched and keeps the streams apart', async () => {
    const result = await exec.run('printf', ['%s|', 'a b', '$HOME', '; true']);
    expect(result.stdout).toBe('a b|$HOME|; true|');
    expect(result.stderr).toBe('');
  });

  it('tells which package brings a missing tool', async () => {
    const narrow = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: folder,
      isRoot: true,
    });
    await expect(narrow.run('qemu-img', [])).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      remedy: expect.stringContaining('qemu-utils') as string,
    });
  });

  it('has the last words of a failed command in its error', async () => {
    await expect(exec.run('ls', ['/no/such/place'])).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('No such file or directory') as string,
    });
    expect((await exec.run('false', [], { okCodes: [0, 1] })).exitCode).toBe(1);
  });

  it('ends a command at its deadline and on abort', async () => {
    await expect(exec.run('sleep', ['60'], { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'COMMAND_TIMEOUT',
    });
    const controller = new AbortController();
    const pending = exec.run('sleep', ['60'], { signal: controller.signal });
    controller.abort();
    await expect(pending).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
  });

  it('hands each helper the lock: a successor waits for the last of them', async () => {
    const own = await openHelpersLock(join(folder, 'handover'), () => undefined);
    const holder = createExecutor({
      log: silentLog,
      helpersLock: own,
      path: executorPath(process.env['PATH']),
      isRoot: true,
    });
    const controller = new AbortController();
    let helper: Promise<unknown> = Promise.resolve();
    await new Promise<void>((resolve) => {
      helper = holder.run('sh', ['-c', 'echo up; exec sleep 60'], {
        signal: controller.signal,
        onLine: () => {
          resolve();
        },
      });
      helper.catch(() => undefined);
    });
    await own.close(); // as if the daemon had been killed: only the helper has it now
    let waited = false;
    const successor = await openHelpersLock(join(folder, 'handover'), () => {
      waited = true;
    });
    expect(await helpersOf(join(folder, 'handover'))).toEqual([
      expect.stringContaining('sleep 60'),
    ]);
    controller.abort();
    await expect(helper).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    await successor.ready;
    expect(await helpersOf(join(folder, 'handover'))).toEqual([]);
    await successor.close();
    expect(waited).toBe(true);
  });

  it('starts a process that has its own session and log', async () => {
    const logPath = join(folder, 'detached.log');
    const child = await exec.detach('sh', ['-c', 'echo up; exec sleep 60'], { cwd: '/', logPath });
    expect(await isProcessAlive(child)).toBe(true);
    expect(await isProcessAlive({ ...child, startTicks: child.startTicks + 1 })).toBe(false);
    await expect.poll(() => readFile(logPath, 'utf8'), { timeout: 10_000 }).toBe('up\n');
    process.kill(child.pid, 'SIGTERM');
    expect(await child.exited).toEqual({ code: null, signal: 'SIGTERM' });
    expect(await isProcessAlive(child)).toBe(false);
  });

  it('starts it through a program that becomes it, and stays the process that is known', async () => {
    const logPath = join(folder, 'through.log');
    const child = await exec.detach('sh', ['-c', 'echo $X $$; exec sleep 60'], {
      cwd: '/',
      logPath,
      through: ['/usr/bin/env', 'X=through'],
    });
    await expect
      .poll(() => readFile(logPath, 'utf8'), { timeout: 10_000 })
      .toBe(`through ${String(child.pid)}\n`);
    process.kill(child.pid, 'SIGKILL');
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });
});
