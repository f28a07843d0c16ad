import { open } from 'node:fs/promises';
import { createExecutor, executorPath } from '../../core/host/create-executor.ts';
import type { Executor } from '../../core/host/executor.ts';
import { silentLog } from '../../test/support/silent-log.ts';

/** The product's Executor without a daemon: standard input is /dev/null. */
export const openExecutor = async (): Promise<Executor & AsyncDisposable> => {
  const stdin = await open('/dev/null');
  const exec = createExecutor({
    log: silentLog,
    helpersLock: { fd: stdin.fd, ready: Promise.resolve() },
    path: executorPath(process.env['PATH']),
    isRoot: process.getuid?.() === 0,
  });
  return { ...exec, [Symbol.asyncDispose]: () => stdin.close() };
};
