import type { Capability } from '../../core/capability.ts';
import { createInstance } from '../../core/host/instance.ts';
import type { Executor } from '../../core/host/executor.ts';
import type { Host } from '../../core/host/host.ts';
import { Ledger } from '../../core/ledger/ledger.ts';
import { ClaimRows } from '../../core/ledger/rows.ts';
import { openStore, type Store } from '../../core/store/store.ts';
import { silentLog } from './silent-log.ts';

/** An Executor for modules that run no command: any use is the test's failure. */
export const noExecutor: Executor = {
  run: (file) => Promise.reject(new Error(`unexpected command: ${file}`)),
  detach: (file) => Promise.reject(new Error(`unexpected process: ${file}`)),
  which: () => Promise.resolve(undefined),
  require: () => Promise.resolve(),
  requirePrivilege: () => Promise.resolve(),
};

export const testHost = (directory: string, exec: Executor = noExecutor): Host => ({
  exec,
  instance: createInstance('testaa'),
  bootId: 'boot-1',
  directory,
  log: silentLog,
});

/** A real ledger in a database in memory. */
export const createTestLedger = async (
  capabilities: readonly Capability[],
  host: Host,
): Promise<{ ledger: Ledger; rows: ClaimRows; store: Store }> => {
  const store = await openStore(':memory:');
  const rows = new ClaimRows(store);
  const ledger = new Ledger(rows, host.bootId, silentLog);
  for (const capability of capabilities) ledger.install({ capability, host });
  return { ledger, rows, store };
};
