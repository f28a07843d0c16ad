import { join } from 'node:path';
import { asFunction, asValue, createContainer, InjectionMode } from 'awilix';
import type { Capability } from './capability.ts';
import { provide } from './capability.ts';
import type { ConfigFile } from './config/settings.ts';
import { type Settings } from './config/settings.ts';
import type { Paths } from './config/paths.ts';
import type { BangerError } from './errors.ts';
import { toBangerError } from './errors.ts';
import { readBootId } from './host/boot-id.ts';
import { createExecutor, executorPath } from './host/create-executor.ts';
import type { Executor } from './host/executor.ts';
import { helpersOf, openHelpersLock, type HelpersLock } from './host/helpers-lock.ts';
import type { Instance } from './host/host.ts';
import { loadInstance } from './host/instance.ts';
import { Ledger } from './ledger/ledger.ts';
import { ClaimRows } from './ledger/rows.ts';
import { Handles } from './vmm/handles.ts';
import { observeUse } from './lifecycle/auto-stop.ts';
import { Lifecycle } from './lifecycle/lifecycle.ts';
import { Recovery } from './lifecycle/recovery.ts';
import { assertRunning, guestOf } from './lifecycle/guest-of.ts';
import { Usage } from './lifecycle/usage.ts';
import type { Logger } from './log/logger.ts';
import { Operations } from './operation/operations.ts';
import { ChannelsRef } from './plugin-api/services/channels.ts';
import { MachinesRef } from './plugin-api/services/machines.ts';
import { StatsRef } from './plugin-api/services/stats.ts';
import { VmsRef } from './plugin-api/services/vms.ts';
import { loadPlugin, type ImportModule } from './plugins/load.ts';
import { Registry, type Installed } from './registry.ts';
import { openStore, type Store } from './store/store.ts';
import { isUp, VmRepository } from './vm/repository.ts';

/** Everything that the API needs of the daemon. */
export interface Kernel {
  readonly paths: Paths;
  readonly config: ConfigFile;
  readonly instance: Instance;
  readonly registry: Registry;
  readonly vms: VmRepository;
  readonly operations: Operations;
  readonly ledger: Ledger;
  readonly handles: Handles;
  readonly lifecycle: Lifecycle;
  readonly recovery: Recovery;
  readonly usage: Usage;
  readonly pluginErrors: readonly BangerError[];
  readonly log: Logger;
  close(): Promise<void>;
}

export interface KernelOptions {
  readonly paths: Paths;
  readonly builtIn: readonly Capability[];
  readonly config: ConfigFile;
  readonly log: Logger;
  /** Of plugins. */
  readonly importModule: ImportModule;
}

/** The parts, by the names under which awilix injects them. */
interface Cradle {
  log: Logger;
  settings: Settings;
  store: Store;
  bootId: string;
  instance: Instance;
  exec: Executor;
  handles: Handles;
  vms: VmRepository;
  rows: ClaimRows;
  ledger: Ledger;
  operations: Operations;
  registry: Registry;
  lifecycle: Lifecycle;
  recovery: Recovery;
  usage: Usage;
}

const loadPlugins = async (
  settings: Settings,
  { paths: { configPath }, log, importModule }: KernelOptions,
): Promise<{ plugins: Installed[]; errors: BangerError[] }> => {
  const plugins: Installed[] = [];
  const errors: BangerError[] = [];
  for (const reference of settings.plugins) {
    try {
      plugins.push(...(await loadPlugin(reference, configPath, importModule)));
    } catch (error) {
      log.error({ err: error }, 'plugin failed to load');
      errors.push(toBangerError(error));
    }
  }
  return { plugins, errors };
};

/**
 * The composition root. The state directory is the caller's alone by now.
 * @throws BangerError CONFIG_INVALID, STORE_TOO_NEW, STORE_CORRUPT, CAPABILITY_*
 */
export const createKernel = async (options: KernelOptions): Promise<Kernel> => {
  const { paths, config, log } = options;
  const settings = config.settings();
  const { plugins, errors } = await loadPlugins(settings, options);
  const installed: Installed[] = [
    ...options.builtIn.map((capability) => ({ capability, origin: 'built-in' })),
    ...plugins,
  ];
  const chosen = config.forCapabilities(
    installed.map(({ capability, origin }) => ({
      capability,
      mayBeOff: capability.optional || origin !== 'built-in',
    })),
    errors.length === 0,
  );

  const store = await openStore(join(paths.stateDirectory, 'banger.db'), { log });
  const lockPath = join(paths.stateDirectory, 'helpers.lock');
  let helpersLock: HelpersLock | undefined;
  try {
    helpersLock = await openHelpersLock(lockPath, (elapsedMs) => {
      helpersOf(lockPath).then(
        (helpers) => {
          log.warn({ elapsedMs, helpers }, 'waiting for helpers of an earlier daemon to end');
        },
        (error: unknown) => {
          log.error({ err: error }, 'helpers of an earlier daemon cannot be named');
        },
      );
    });
    const lock = helpersLock;
    const container = createContainer<Cradle>({ injectionMode: InjectionMode.PROXY, strict: true });
    container.register({
      log: asValue(log),
      settings: asValue(settings),
      store: asValue(store),
      bootId: asValue(await readBootId()),
      instance: asValue(await loadInstance(paths.stateDirectory)),
      exec: asFunction(({ log: logger }: Cradle) =>
        createExecutor({
          log: logger,
          helpersLock: lock,
          path: executorPath(process.env['PATH']),
          isRoot: process.getuid?.() === 0,
        }),
      ).singleton(),
      handles: asFunction(() => new Handles()).singleton(),
      vms: asFunction((c: Cradle) => new VmRepository(c.store)).singleton(),
      rows: asFunction((c: Cradle) => new ClaimRows(c.store)).singleton(),
      ledger: asFunction((c: Cradle) => new Ledger(c.rows, c.bootId, c.log)).singleton(),
      operations: asFunction((c: Cradle) => new Operations(c.store, c.log)).singleton(),
      registry: asFunction(
        (c: Cradle) =>
          new Registry({
            ledger: c.ledger,
            exec: c.exec,
            instance: c.instance,
            bootId: c.bootId,
            stateDirectory: paths.stateDirectory,
            configDirectory: paths.configDirectory,
            cacheDirectory: paths.cacheDirectory,
            log: c.log,
            runIdOf: (id) => c.vms.find(id)?.run.runId ?? undefined,
            provided: [
              provide(ChannelsRef, {
                agent: ({ id }) => c.handles.get(id)?.agent,
              }),
              provide(MachinesRef, {
                growDrive: async ({ id }, drive, bytes, path) => {
                  const handle = c.handles.get(id);
                  await handle?.growDrive?.(drive, bytes, path);
                  return handle?.growDrive !== undefined;
                },
              }),
              provide(VmsRef, {
                get: (name) => c.vms.get(name),
                list: () => c.vms.list(),
                isRunning: ({ id }) => c.vms.find(id)?.run.state === 'running',
                assertRunning: ({ id }) => {
                  assertRunning(c.vms.get(id));
                },
                guest: (vm) => guestOf(c.registry, vm),
                setCondition: ({ id }, kind, detail) => {
                  const vm = c.vms.find(id);
                  if (vm !== undefined && (vm.run.state === 'starting' || isUp(vm)))
                    c.vms.setCondition(id, kind, detail);
                },
                vmmProcess: ({ id }) => c.handles.get(id)?.process,
                observeUse: ({ id }, isUsed) => {
                  observeUse(c, id, isUsed);
                },
              }),
            ],
          }),
      ).singleton(),
      usage: asFunction(() => new Usage()).singleton(),
      lifecycle: asFunction((c: Cradle) => new Lifecycle(c)).singleton(),
      recovery: asFunction(
        (c: Cradle) =>
          new Recovery(c, c.lifecycle, {
            ready: lock.ready,
            blocking: () => helpersOf(lockPath),
          }),
      ).singleton(),
    });
    const parts = container.cradle;
    await parts.registry.install(installed, chosen.isEnabled, ({ id }) => chosen.settings.get(id));
    if (settings.autoStopAfterMs !== null && parts.registry.service(StatsRef) === undefined)
      log.warn({}, 'lifecycle.auto_stop_after has no effect: no capability looks into guests');
    for (const error of errors) parts.registry.failures.set(error.message, error);
    return {
      paths,
      config,
      instance: parts.instance,
      registry: parts.registry,
      vms: parts.vms,
      operations: parts.operations,
      ledger: parts.ledger,
      handles: parts.handles,
      lifecycle: parts.lifecycle,
      recovery: parts.recovery,
      usage: parts.usage,
      pluginErrors: errors,
      log,
      close: async () => {
        store.close();
        await lock.close();
      },
    };
  } catch (error) {
    store.close();
    await helpersLock?.close();
    throw error;
  }
};
