import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Capability, Handlers } from '../../../../core/capability.ts';
import { createExecutor, executorPath } from '../../../../core/host/create-executor.ts';
import type { Executor } from '../../../../core/host/executor.ts';
import { openHelpersLock, type HelpersLock } from '../../../../core/host/helpers-lock.ts';
import { createInstance } from '../../../../core/host/instance.ts';
import type { Host } from '../../../../core/host/host.ts';
import type { Ledger } from '../../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../../core/ledger/rows.ts';
import type { Store } from '../../../../core/store/store.ts';
import { unwindRun, unwindVm } from '../../../../core/lifecycle/unwind.ts';
import type { StartOperation } from '../../../../core/operation/context.ts';
import { encodeToken, newToken } from '../../../../core/token.ts';
import { createTestLedger } from '../../../support/ledger.ts';
import { silentLog } from '../../../support/silent-log.ts';

const never = new AbortController().signal;

/** Runs everything in a network namespace, so that the machine's own network is never touched. */
const inNamespace = (exec: Executor, namespace: string): Executor => ({
  ...exec,
  run: (file, args, options) =>
    exec.run('ip', ['netns', 'exec', namespace, file, ...args], options),
});

/** Namespaces of a test, and what stands in for hosts and guests. */
export class NetWorld {
  readonly #namespaces: string[] = [];
  readonly #daemons: TestDaemon[] = [];
  readonly #folder: string;
  readonly #lock: HelpersLock;
  readonly exec: Executor;
  readonly host: string;

  private constructor(folder: string, lock: HelpersLock) {
    this.#folder = folder;
    this.#lock = lock;
    this.exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: true,
    });
    this.host = `bgt-${newToken(6)}`;
  }

  static async create(): Promise<NetWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'banger-net-'));
    const lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    const world = new NetWorld(folder, lock);
    await world.#addNamespace(world.host);
    return world;
  }

  async #addNamespace(name: string): Promise<void> {
    await this.exec.run('ip', ['netns', 'add', name]);
    this.#namespaces.push(name);
    await this.run(name, 'ip', 'link', 'set', 'lo', 'up');
  }

  /** Stdout of a command in a namespace. */
  async run(namespace: string, file: string, ...args: string[]): Promise<string> {
    return (await inNamespace(this.exec, namespace).run(file, args)).stdout;
  }

  /** Stdout of a command on the host. */
  onHost(file: string, ...args: string[]): Promise<string> {
    return this.run(this.host, file, ...args);
  }

  /** A namespace joined to the host's by a veth pair; names are the devices' on either side. */
  async join(device: { readonly there: string; readonly here: string }): Promise<string> {
    const name = `bgt-${newToken(6)}`;
    await this.#addNamespace(name);
    const { there, here } = device;
    await this.onHost(
      ...(['ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', there] as const),
      ...['netns', name],
    );
    await this.onHost('ip', 'link', 'set', here, 'up');
    await this.run(name, 'ip', 'link', 'set', there, 'up');
    return name;
  }

  /**
   * What stands in for a guest: a namespace whose device is a port of the bridge. (A tap needs a process that
   * reads it to carry anything.)
   */
  async guest(bridge: string, address: string, mac: string, gateway: string): Promise<string> {
    const here = `g${newToken(6)}`;
    const name = await this.join({ there: 'eth0', here });
    await this.onHost('ip', 'link', 'set', here, 'master', bridge);
    await this.run(name, 'ip', 'link', 'set', 'eth0', 'address', mac);
    await this.run(name, 'ip', 'address', 'add', address, 'dev', 'eth0');
    await this.run(name, 'ip', 'route', 'add', 'default', 'via', gateway);
    return name;
  }

  async removeNamespace(name: string): Promise<void> {
    await this.exec.run('ip', ['netns', 'delete', name]);
    this.#namespaces.splice(this.#namespaces.indexOf(name), 1);
  }

  /** All that is left on the host: devices with addresses, rules, forwarding switches. */
  async residue(): Promise<string> {
    const [links, rules, forwarding] = await Promise.all([
      this.onHost('ip', '-br', 'address'),
      this.onHost('iptables-save'),
      this.onHost('sysctl', '-a', '-r', '^net\\.ipv4\\.(conf\\..*\\.forwarding|ip_forward)$'),
    ]);
    // iptables-nft leaves the empty tables behind that it made.
    return [links, ...rules.split('\n').filter((line) => line.startsWith('-A')), forwarding].join(
      '\n',
    );
  }

  async daemon(capabilities: readonly Capability[]): Promise<TestDaemon> {
    const directory = join(this.#folder, newToken(8));
    await mkdir(directory);
    const daemon = await TestDaemon.create(
      capabilities,
      directory,
      inNamespace(this.exec, this.host),
    );
    this.#daemons.push(daemon);
    return daemon;
  }

  async destroy(): Promise<void> {
    for (const daemon of this.#daemons) daemon.store.close();
    for (const name of this.#namespaces) await this.exec.run('ip', ['netns', 'delete', name]);
    await this.#lock.close();
    await rm(this.#folder, { recursive: true });
  }
}

/** As much of a daemon as capabilities see: a ledger in memory, an instance token, their hooks. */
export class TestDaemon {
  readonly host: Host;
  readonly ledger: Ledger;
  readonly rows: ClaimRows;
  readonly store: Store;
  readonly #services = new Map<string, unknown>();

  private constructor(
    host: Host,
    parts: { readonly ledger: Ledger; readonly rows: ClaimRows; readonly store: Store },
  ) {
    this.host = host;
    this.ledger = parts.ledger;
    this.rows = parts.rows;
    this.store = parts.store;
  }

  static async create(
    capabilities: readonly Capability[],
    directory: string,
    exec: Executor,
  ): Promise<TestDaemon> {
    const host: Host = {
      exec,
      instance: createInstance(encodeToken(randomBytes(6), 6)),
      bootId: 'boot-1',
      directory,
      log: silentLog,
    };
    return new TestDaemon(host, await createTestLedger(capabilities, host));
  }

  /** Sets a capability up, as at a daemon's start. */
  async setUp(capability: Capability, config: object = {}): Promise<Handlers> {
    const { exec, instance, directory } = this.host;
    const services = Object.fromEntries(
      Object.entries({ ...capability.needs, ...capability.wants }).map(([name, { id }]) => [
        name,
        this.#services.get(id),
      ]),
    );
    const handlers = await capability.setup({
      config: capability.config.parse(config),
      services,
      claims: this.ledger.bind(capability, null, never),
      claimsOf: ({ id }, signal) => this.ledger.bind(capability, { vmId: id, runId: '' }, signal),
      exec,
      instance,
      directory,
      configDirectory: join(directory, 'config'),
      cacheDirectory: join(directory, 'cache'),
      log: silentLog,
    });
    for (const { ref, service } of handlers.provides ?? []) this.#services.set(ref.id, service);
    return handlers;
  }

  /** The part of a VM's start that is these capabilities'. */
  async start(
    vmId: string,
    parts: readonly (readonly [Capability, Handlers])[],
    signal: AbortSignal = never,
  ): Promise<StartOperation> {
    const operation = startOperation(vmId, signal);
    const owner = { vmId, runId: operation.runId };
    for (const [capability, { preStart }] of parts)
      await preStart?.(operation, this.ledger.bind(capability, owner, signal));
    return operation;
  }

  /** @throws the first failure, so that a test sees it */
  async stop(vmId: string): Promise<void> {
    throwFirst(await unwindRun(this.ledger, vmId, `run-${vmId}`));
  }

  async delete(vmId: string): Promise<void> {
    throwFirst(await unwindVm(this.ledger, vmId));
  }

  /** A daemon that ends with no VM running lets go of what is its own. */
  async end(): Promise<void> {
    throwFirst(await this.ledger.unwind({ scopes: ['host'] }));
  }
}

const throwFirst = (failures: readonly { readonly error: unknown }[]): void => {
  const [first] = failures;
  if (first !== undefined) throw first.error;
};

export const startOperation = (vmId: string, signal: AbortSignal = never): StartOperation => ({
  id: `op-${vmId}`,
  kind: 'start',
  signal,
  log: silentLog,
  progress: () => undefined,
  notice: () => undefined,
  vm: {
    id: vmId,
    name: vmId,
    image: 'none',
    vcpus: 1,
    memoryMib: 256,
    diskBytes: 2 ** 30,
    nat: true,
    ephemeral: false,
    createdAt: '2026-01-01T00:00:00Z',
  },
  runId: `run-${vmId}`,
  machine: {
    vcpus: 1,
    memoryMib: 256,
    bootArgs: [],
    drives: [],
    nics: [],
    seed: { hostname: vmId, dns: [], files: [] },
    agentChannel: 'ports',
    diskFormats: ['raw'],
  },
});
