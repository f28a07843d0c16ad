import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setMaxListeners } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Capability, Handlers } from '../../../../core/capability.ts';
import type { Claims } from '../../../../core/claim.ts';
import { createExecutor, executorPath } from '../../../../core/host/create-executor.ts';
import type { Executor } from '../../../../core/host/executor.ts';
import { openHelpersLock, type HelpersLock } from '../../../../core/host/helpers-lock.ts';
import type { Host } from '../../../../core/host/host.ts';
import { createInstance } from '../../../../core/host/instance.ts';
import type { Ledger } from '../../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../../core/ledger/rows.ts';
import { unwindRun, unwindVm } from '../../../../core/lifecycle/unwind.ts';
import type { StartOperation } from '../../../../core/operation/context.ts';
import type { Store } from '../../../../core/store/store.ts';
import { newToken } from '../../../../core/token.ts';
import type { VmmDriver, VmmHandle } from '../../../../core/vmm/driver.ts';
import { cgroupParent, listCgroups } from '../../../../core/vmm/process/cgroup.ts';
import { createTestLedger } from '../../../support/ledger.ts';
import { silentLog } from '../../../support/silent-log.ts';
import { tempDir } from '../../../support/temp-dir.ts';

/** Of an idle kernel: an ELF file that a VMM boots, with `hlt` instead of code. */
const entry = 0x100000;
const noteOffset = 0x100;
const codeOffset = 0x1000;

interface Segment {
  /** PT_LOAD 1, PT_NOTE 4. */
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Elf64_Phdr, elf(5). */
const programHeader = (
  image: Buffer,
  at: number,
  { type, offset, address, size }: Segment,
): void => {
  image.writeUInt32LE(type, at);
  image.writeUInt32LE(7, at + 4);
  for (const [index, value] of [offset, address, address, size, size, 4].entries())
    image.writeBigUInt64LE(BigInt(value), at + 8 + 8 * index);
};

export const never = new AbortController().signal;
// One for all tests: each boot listens to it for as long as it might have taken.
setMaxListeners(0, never);
const runId = 'run-1';

interface Place {
  /** For what this world needs itself. */
  readonly folder: string;
  /** The capability's own. */
  readonly directory: string;
  /** Token of the instance. */
  readonly instance: string;
  readonly vmId: string;
}

/** One VM of one driver, with claims that are real, and no core around it. */
export class DriverWorld {
  readonly vm: { readonly id: string; readonly name: string };
  readonly runId = runId;
  readonly folder: string;
  readonly host: Host;
  readonly exec: Executor;
  readonly rows: ClaimRows;
  readonly ledger: Ledger;
  /** Of the kernel that a start names. */
  kernel: string;
  /** To VMMs, of what would be the daemon's. */
  readonly #sockets: Socket[] = [];
  readonly #onSocket = (message: unknown): void => {
    this.#sockets.push((message as { readonly socket: Socket }).socket);
  };
  readonly #capability: Capability;
  readonly #lock: HelpersLock;
  readonly #store: Store;

  private constructor(
    capability: Capability,
    vmId: string,
    folder: string,
    host: Host,
    lock: HelpersLock,
    made: { ledger: Ledger; rows: ClaimRows; store: Store },
  ) {
    this.#capability = capability;
    this.vm = { id: vmId, name: 'test' };
    this.folder = folder;
    this.host = host;
    this.exec = host.exec;
    this.kernel = join(folder, 'kernel');
    this.#lock = lock;
    this.#store = made.store;
    this.ledger = made.ledger;
    this.rows = made.rows;
    subscribe('net.client.socket', this.#onSocket);
  }

  /** @param place of a daemon that has just died, whose VM it is */
  static async create(capability: Capability, place?: Place): Promise<DriverWorld> {
    const folder = place?.folder ?? (await tempDir());
    const lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    const exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: process.getuid?.() === 0,
    });
    const directory = place?.directory ?? join(folder, capability.id);
    await mkdir(directory, { recursive: true });
    const instance = createInstance(place?.instance ?? newToken(6));
    const vmId = place?.vmId ?? '01a20e28-b76e-75da-96b6-56b2140c6100';
    const host = { exec, instance, bootId: 'boot-1', directory, log: silentLog };
    const made = await createTestLedger([capability], host);
    return new DriverWorld(capability, vmId, folder, host, lock, made);
  }

  /** Whatever a test has left is ended. */
  async dispose(): Promise<void> {
    unsubscribe('net.client.socket', this.#onSocket);
    await unwindVm(this.ledger, this.vm.id);
    this.#store.close();
    await this.#lock.close();
  }

  /** What the end of a daemon does to its connections. */
  forget(): void {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  /** As a daemon that has just started has it: nothing is remembered of what another one made. */
  async driver(config: object = {}): Promise<VmmDriver> {
    const capability = this.#capability;
    const { exec, instance, directory } = this.host;
    const handlers: Handlers = await capability.setup({
      config: capability.config.parse(config),
      services: {},
      claims: this.ledger.bind(capability, null, never),
      claimsOf: ({ id }, signal) => this.ledger.bind(capability, { vmId: id, runId: '' }, signal),
      exec,
      instance,
      directory,
      configDirectory: '/nowhere',
      cacheDirectory: '/nowhere',
      log: silentLog,
    });
    if (handlers.vmm === undefined) throw new Error('no driver');
    return handlers.vmm;
  }

  /** The paths of those that this instance has. */
  async cgroups(): Promise<string[]> {
    const parent = await cgroupParent(this.host.instance);
    return parent === undefined
      ? []
      : (await listCgroups(this.#capability.id, parent)).map(({ path }) => path);
  }

  start(signal = new AbortController().signal): StartOperation {
    return {
      id: 'operation-1',
      kind: 'start',
      signal,
      log: silentLog,
      progress: () => undefined,
      notice: () => undefined,
      runId,
      vm: {
        ...this.vm,
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
        kernel: { id: 'k', release: '6', path: this.kernel, initrdModules: [] },
        bootArgs: [],
        drives: [],
        nics: [],
        seed: { hostname: 'test', dns: [], files: [] },
        agentChannel: 'ports',
        diskFormats: ['raw'],
      },
    };
  }

  claims(signal = new AbortController().signal): Claims {
    return this.ledger.bind(this.#capability, { vmId: this.vm.id, runId }, signal);
  }

  /** As core does. */
  async prepare(driver: VmmDriver, start: StartOperation): Promise<StartOperation> {
    const uid = await driver.user?.(start, this.claims(start.signal));
    if (uid !== undefined) start.machine.vmmUid = uid;
    return start;
  }

  async boot(driver: VmmDriver, signal = new AbortController().signal): Promise<VmmHandle> {
    return driver.boot(await this.prepare(driver, this.start(signal)), this.claims(signal));
  }

  unwind(): ReturnType<typeof unwindRun> {
    return unwindRun(this.ledger, this.vm.id, runId);
  }

  /** Tokens of what a process claim's cleanup would end. */
  async processes(): Promise<readonly string[]> {
    const found = (await this.#capability.teardown?.scan(this.host)) ?? [];
    // The writer of a VMM's logs has its arguments, and so its token.
    const ours = found.filter(({ description }) => /process/.test(description));
    return [...new Set(ours.map(({ token }) => token))];
  }

  /** Long enough for QEMU to load, and no code: the guest never does anything. */
  async makeIdleKernel(): Promise<void> {
    const image = Buffer.alloc(codeOffset + 4096, 0xf4); // hlt
    image.fill(0, 0, codeOffset);
    image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    image.writeUInt16LE(2, 16); // e_type: ET_EXEC
    image.writeUInt16LE(62, 18); // e_machine: x86-64
    image.writeUInt32LE(1, 20);
    image.writeBigUInt64LE(BigInt(entry), 24);
    image.writeBigUInt64LE(64n, 32); // e_phoff
    for (const [at, value] of [
      [52, 64],
      [54, 56],
      [56, 2],
    ] as const)
      image.writeUInt16LE(value, at); // e_ehsize, e_phentsize, e_phnum
    programHeader(image, 64, { type: 1, offset: codeOffset, address: entry, size: 4096 });
    programHeader(image, 64 + 56, { type: 4, offset: noteOffset, address: 0, size: 24 });
    // Where a PVH loader enters, XEN_ELFNOTE_PHYS32_ENTRY.
    for (const [index, value] of [4, 8, 18].entries())
      image.writeUInt32LE(value, noteOffset + 4 * index);
    image.write('Xen\0', noteOffset + 12, 'latin1');
    image.writeBigUInt64LE(BigInt(entry), noteOffset + 16);
    await writeFile(this.kernel, image);
  }
}
