import { mkdir, mkdtemp, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Capability, Handlers } from '../../../../core/capability.ts';
import { createExecutor, executorPath } from '../../../../core/host/create-executor.ts';
import type { Executor } from '../../../../core/host/executor.ts';
import type { Host } from '../../../../core/host/host.ts';
import type { Ledger } from '../../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../../core/ledger/rows.ts';
import { unwindRun, unwindVm } from '../../../../core/lifecycle/unwind.ts';
import type {
  OperationContext,
  Progress,
  StartOperation,
} from '../../../../core/operation/context.ts';
import type { MachineSpec } from '../../../../core/vmm/machine-spec.ts';
import type { Store } from '../../../../core/store/store.ts';
import type { VmRecord } from '../../../../core/vm/record.ts';
import { createTestLedger, testHost } from '../../../support/ledger.ts';
import { silentLog } from '../../../support/silent-log.ts';

const never = new AbortController().signal;

export interface WatchedOperation extends OperationContext {
  readonly seen: Progress[];
}

export const operation = (signal: AbortSignal = never): WatchedOperation => {
  const seen: Progress[] = [];
  return {
    id: 'operation-1',
    kind: 'test',
    signal,
    log: silentLog,
    progress: (progress) => seen.push(progress),
    notice: () => undefined,
    seen,
  };
};

export const vmRecord = (id: string, more: Partial<VmRecord> = {}): VmRecord => ({
  id,
  name: `name-of-${id}`,
  image: 'debian-bookworm',
  vcpus: 1,
  memoryMib: 256,
  diskBytes: 8 * 1024 ** 3,
  nat: true,
  ephemeral: false,
  createdAt: '2026-01-01T00:00:00Z',
  ...more,
});

export const startOf = (
  vm: VmRecord,
  machine: Partial<MachineSpec> = {},
  signal: AbortSignal = never,
): StartOperation => ({
  ...operation(signal),
  vm,
  runId: `run-of-${vm.id}`,
  machine: {
    vcpus: vm.vcpus,
    memoryMib: vm.memoryMib,
    bootArgs: [],
    drives: [],
    nics: [],
    seed: { hostname: vm.name, dns: [], files: [] },
    agentChannel: 'ports',
    diskFormats: ['raw', 'qcow2'],
    ...machine,
  },
});

/** A state directory and a cache of their own, with a real ledger and real host commands. */
export class DiskWorld {
  readonly folder: string;
  readonly exec: Executor;
  readonly ledger: Ledger;
  readonly rows: ClaimRows;
  readonly #store: Store;
  readonly #stdin: FileHandle;

  private constructor(
    folder: string,
    exec: Executor,
    stdin: FileHandle,
    parts: { ledger: Ledger; rows: ClaimRows; store: Store },
  ) {
    this.folder = folder;
    this.exec = exec;
    this.#stdin = stdin;
    this.ledger = parts.ledger;
    this.rows = parts.rows;
    this.#store = parts.store;
  }

  static async create(root: string = tmpdir()): Promise<DiskWorld> {
    const folder = await mkdtemp(join(root, 'banger-disk-'));
    const stdin = await open('/dev/null');
    const exec = createExecutor({
      log: silentLog,
      helpersLock: { fd: stdin.fd, ready: Promise.resolve() },
      path: executorPath(process.env['PATH']),
      isRoot: process.getuid?.() === 0,
    });
    return new DiskWorld(folder, exec, stdin, await createTestLedger([], testHost(folder)));
  }

  async destroy(): Promise<void> {
    this.#store.close();
    await this.#stdin.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  directory(capability: Capability): string {
    return join(this.folder, 'state', capability.id);
  }

  cache(capability: Capability): string {
    return join(this.folder, 'cache', capability.id);
  }

  host(capability: Capability): Host {
    return testHost(this.directory(capability), this.exec);
  }

  /** Names in the capability's folder under the state directory. */
  async files(capability: Capability): Promise<string[]> {
    return (await readdir(this.directory(capability))).sort();
  }

  async setUp(
    capability: Capability,
    options: {
      readonly config?: unknown;
      readonly services?: Record<string, unknown>;
      readonly exec?: Executor;
    } = {},
  ): Promise<Handlers> {
    const directory = this.directory(capability);
    await mkdir(directory, { recursive: true });
    this.ledger.install({ capability, host: this.host(capability) });
    return capability.setup({
      config: capability.config.parse(options.config ?? {}),
      services: options.services ?? {},
      claims: this.ledger.bind(capability, null, never),
      claimsOf: ({ id }, signal) => this.ledger.bind(capability, { vmId: id, runId: '' }, signal),
      exec: options.exec ?? this.exec,
      instance: this.host(capability).instance,
      directory,
      configDirectory: join(this.folder, 'config', capability.id),
      cacheDirectory: this.cache(capability),
      log: silentLog,
    });
  }

  async preStart(capability: Capability, handlers: Handlers, start: StartOperation): Promise<void> {
    const owner = { vmId: start.vm.id, runId: start.runId };
    await handlers.preStart?.(start, this.ledger.bind(capability, owner, start.signal));
  }

  /** As after a failed start, or a stop. */
  async unwindRun(vm: { readonly id: string }): Promise<void> {
    const failures = await unwindRun(this.ledger, vm.id, `run-of-${vm.id}`);
    if (failures.length > 0) throw failures[0]?.error;
  }

  /** As on delete. */
  async unwindVm(vm: { readonly id: string }): Promise<void> {
    const failures = await unwindVm(this.ledger, vm.id);
    if (failures.length > 0) throw failures[0]?.error;
  }
}
