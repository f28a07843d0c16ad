import { open, type FileHandle } from 'node:fs/promises';
import { createExecutor, executorPath } from '../../core/host/create-executor.ts';
import type { Executor } from '../../core/host/executor.ts';
import type { Logger } from '../../core/log/logger.ts';
import type { OperationContext } from '../../core/operation/context.ts';

const nothing = (): void => undefined;
const silentLog: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLog,
};

/** The product's Executor without a daemon: standard input is /dev/null. */
export const openExecutor = async (): Promise<Executor & AsyncDisposable> => {
  const stdin: FileHandle = await open('/dev/null');
  const exec = createExecutor({
    log: silentLog,
    helpersLock: { fd: stdin.fd, ready: Promise.resolve() },
    path: executorPath(process.env['PATH']),
    isRoot: process.getuid?.() === 0,
  });
  return { ...exec, [Symbol.asyncDispose]: () => stdin.close() };
};

/** What the product's builders ask for, with progress as lines. */
export const operationOf = (
  kind: string,
  signal: AbortSignal,
  say: (line: string) => void,
): OperationContext => ({
  id: kind,
  kind,
  signal,
  log: silentLog,
  progress: ({ text }) => {
    say(text);
  },
  notice: say,
});
