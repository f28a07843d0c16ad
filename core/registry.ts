import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Capability, Change, ErasedAction, Handlers, Provided } from './capability.ts';
import { deadlineSignal, within } from './deadline.ts';
import { BangerError, messageOf } from './errors.ts';
import type { Executor } from './host/executor.ts';
import type { Host, Instance } from './host/host.ts';
import { createHooks, traced, type HookName, type Hooks } from './hooks.ts';
import type { Ledger, Owner } from './ledger/ledger.ts';
import type { Logger } from './log/logger.ts';
import type { StartOperation, VmOperation } from './operation/context.ts';
import { sortCapabilities } from './order.ts';
import type { VmRecord, VmSpec } from './vm/record.ts';
import type { VmmDriver } from './vmm/driver.ts';

/** Where a capability comes from, for messages: `built-in` or the plugin's name. */
export interface Installed {
  readonly capability: Capability;
  readonly origin: string;
}

export interface Enabled extends Installed {
  readonly handlers: Handlers;
}

interface RegistryOptions {
  readonly ledger: Ledger;
  readonly exec: Executor;
  readonly instance: Instance;
  readonly bootId: string;
  readonly stateDirectory: string;
  readonly configDirectory: string;
  readonly cacheDirectory: string;
  readonly log: Logger;
  /** Of the run that a VM is in. */
  runIdOf(vmId: string): string | undefined;
  /** Services of core's own. */
  readonly provided: readonly Provided[];
}

/** How long preStop of one capability may take, milliseconds: it is best effort. */
const preStopDeadlineMs = 10_000;

/** What a start tells about its stages, beside what capabilities see. */
export interface StagedOperation {
  stage(name: string): void;
}

/** All capabilities: the enabled ones hooked in, the others known for their teardown alone. */
export class Registry {
  readonly hooks: Hooks = createHooks();
  readonly enabled: Enabled[] = [];
  readonly #options: RegistryOptions;
  readonly #services = new Map<string, unknown>();
  /** Why a plugin is not at work though it is configured. */
  readonly failures = new Map<string, BangerError>();
  readonly all: Installed[] = [];
  readonly #stages = new WeakMap<object, StagedOperation>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    for (const { ref, service } of options.provided) this.#services.set(ref.id, service);
  }

  /**
   * @param isEnabled by id; a disabled capability still tears down what it once took
   * @param settings validated settings by id
   */
  async install(
    installed: readonly Installed[],
    isEnabled: (id: string) => boolean,
    settings: (capability: Capability) => unknown,
  ): Promise<void> {
    const { ledger, stateDirectory, log } = this.#options;
    const seen = new Map<string, string>();
    for (const { capability, origin } of installed) {
      const other = seen.get(capability.id);
      if (other !== undefined) {
        throw new BangerError(
          'CAPABILITY_CONFLICT',
          `two capabilities have the id '${capability.id}': one of ${other}, one of ${origin}`,
        );
      }
      seen.set(capability.id, origin);
      this.all.push({ capability, origin });
      const directory = join(stateDirectory, capability.id);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      ledger.install({ capability, host: this.#host(capability, directory) });
    }
    const known = new Set(seen.keys());
    const active = installed.filter(({ capability }) => isEnabled(capability.id));
    const sorted = sortCapabilities(
      active.map((each) => ({ ...each.capability, installed: each })),
      known,
    );
    for (const { installed: each } of sorted) {
      try {
        const handlers = await each.capability.setup(this.#env(each.capability, settings));
        for (const { ref, service } of handlers.provides ?? [])
          this.#provide(each, ref.id, service);
        this.enabled.push({ ...each, handlers });
      } catch (error) {
        if (each.origin === 'built-in') throw error;
        log.error({ capability: each.capability.id, err: error }, 'plugin failed to set up');
        this.failures.set(each.capability.id, pluginError(each, 'setup', error));
      }
    }
    this.enabled.forEach((each, index) => {
      this.#tap(each, index);
    });
  }

  #host(capability: Capability, directory: string): Host {
    const { exec, instance, bootId, log } = this.#options;
    return { exec, instance, bootId, directory, log: log.child({ capability: capability.id }) };
  }

  #env(
    capability: Capability,
    settings: (capability: Capability) => unknown,
  ): Parameters<Capability['setup']>[0] {
    const { exec, instance, ledger, stateDirectory, configDirectory, cacheDirectory, log } =
      this.#options;
    const services: Record<string, unknown> = {};
    for (const [name, ref] of Object.entries(capability.needs)) {
      if (!this.#services.has(ref.id)) {
        throw new BangerError(
          'CAPABILITY_UNKNOWN',
          `capability '${capability.id}' needs the service '${ref.id}', which nothing before it provides`,
        );
      }
      services[name] = this.#services.get(ref.id);
    }
    for (const [name, ref] of Object.entries(capability.wants))
      services[name] = this.#services.get(ref.id);
    return {
      config: settings(capability),
      services,
      claims: ledger.bind(capability, null, new AbortController().signal),
      claimsOf: ({ id }, signal) =>
        ledger.bind(
          capability,
          { vmId: id, runId: this.#options.runIdOf(id) ?? '', isUnwound: false },
          signal,
        ),
      exec,
      instance,
      directory: join(stateDirectory, capability.id),
      configDirectory: join(configDirectory, capability.id),
      cacheDirectory: join(cacheDirectory, capability.id),
      log: log.child({ capability: capability.id }),
    };
  }

  #provide(each: Installed, id: string, service: unknown): void {
    if (this.#services.has(id)) {
      throw new BangerError(
        'CAPABILITY_CONFLICT',
        `capability '${each.capability.id}' provides the service '${id}', which another one provides already`,
      );
    }
    this.#services.set(id, service);
  }

  service<T>(ref: { readonly id: string; readonly type?: T }): T | undefined {
    // Sound because a service is only ever registered through provide(ref, service).
    return this.#services.get(ref.id) as T | undefined;
  }

  #tap(each: Enabled, index: number): void {
    const { capability, handlers } = each;
    const bound = (operation: VmOperation): ReturnType<Ledger['bind']> => {
      const owner: Owner = { vmId: operation.vm.id, runId: operation.runId };
      return this.#options.ledger.bind(capability, owner, operation.signal);
    };
    const call = (
      hook: HookName,
      operation: VmOperation,
      handler: () => Promise<void>,
    ): Promise<void> =>
      traced({ hook, capability: capability.id, operationId: operation.id }, async () => {
        try {
          await handler();
        } catch (error) {
          throw named(each, hook, error);
        }
      });
    const { preStart, postStart, preStop, resume, exited } = handlers;
    const staged: HookName = postStart === undefined ? 'preStart' : 'postStart';
    const tap = { name: capability.id, stage: index };
    for (const [hook, handler] of [
      ['preStart', preStart],
      ['postStart', postStart],
    ] as const) {
      if (handler === undefined) continue;
      this.hooks[hook].tapPromise(tap, (operation: StartOperation) => {
        if (capability.stage !== undefined && hook === staged)
          this.#stages.get(operation)?.stage(capability.stage);
        return call(hook, operation, () => handler(operation, bound(operation)));
      });
    }
    for (const [hook, handler] of [
      ['resume', resume],
      ['exited', exited],
    ] as const) {
      if (handler === undefined) continue;
      this.hooks[hook].tapPromise(tap, (operation) =>
        call(hook, operation, () => handler(operation, bound(operation))),
      );
    }
    if (preStop !== undefined) {
      this.hooks.preStop.tapPromise({ name: capability.id, stage: -index }, async (operation) => {
        const deadline = deadlineSignal(preStopDeadlineMs, operation.signal);
        await call('preStop', operation, () =>
          within(deadline, preStop({ ...operation, signal: deadline }, bound(operation))),
        ).catch((error: unknown) => {
          operation.log.warn(
            { capability: capability.id, error: messageOf(error) },
            'preStop failed; going on',
          );
        });
      });
    }
  }

  /** Says who is told of the stages of that start. */
  observeStages(operation: StartOperation, staged: StagedOperation): void {
    this.#stages.set(operation, staged);
  }

  /** @throws the first capability's complaint; a configured plugin that is not at work is one */
  async preflight(operation: StartOperation): Promise<void> {
    const failure = this.failures.values().next().value;
    if (failure !== undefined) throw failure;
    await Promise.all(
      this.enabled.map(async (each) => {
        try {
          await each.handlers.preflight?.(operation);
        } catch (error) {
          throw named(each, 'preflight', error);
        }
      }),
    );
  }

  /**
   * Asks each in turn for what it can do live.
   * @param apply called with each one's answer, before the next is asked
   * @throws the first one's failure
   */
  async change(
    operation: VmOperation,
    from: VmSpec,
    apply: (changes: readonly Change[]) => Promise<void>,
  ): Promise<void> {
    const owner: Owner = { vmId: operation.vm.id, runId: operation.runId };
    for (const each of this.enabled) {
      const { capability, handlers } = each;
      if (handlers.change === undefined) continue;
      const claims = this.#options.ledger.bind(capability, owner, operation.signal);
      try {
        await apply(await handlers.change(operation, from, claims));
      } catch (error) {
        throw named(each, 'change', error);
      }
    }
  }

  /**
   * @throws BangerError VM_HOLDS_WORK for what a capability says would be lost with the VM, or what it failed with
   */
  async assertDeletable(vm: VmRecord): Promise<void> {
    const losses = await Promise.all(
      this.enabled.map(async (each) => {
        try {
          return (await each.handlers.preDelete?.(vm)) ?? [];
        } catch (error) {
          throw named(each, 'preDelete', error);
        }
      }),
    );
    const [first, ...others] = losses.flat();
    if (first === undefined) return;
    throw new BangerError(
      'VM_HOLDS_WORK',
      `VM '${vm.name}' ${[first, ...others].map(({ what }) => what).join('; and it ')}`,
      { remedy: first.remedy },
    );
  }

  drivers(): { readonly each: Enabled; readonly driver: VmmDriver }[] {
    return this.enabled.flatMap((each) =>
      each.handlers.vmm === undefined ? [] : [{ each, driver: each.handlers.vmm }],
    );
  }

  /** @throws BangerError ACTION_UNKNOWN */
  action(capability: string, name: string): ErasedAction {
    const action = this.enabled.find((each) => each.capability.id === capability)?.handlers
      .actions?.[name];
    if (action !== undefined) return action;
    const isOff = this.all.some((each) => each.capability.id === capability);
    throw new BangerError(
      'ACTION_UNKNOWN',
      isOff && !this.enabled.some((each) => each.capability.id === capability)
        ? `capability '${capability}' is switched off`
        : `there is no action '${capability} ${name}'`,
      isOff ? { remedy: `See \`banger x\`, or [capabilities] in the configuration.` } : {},
    );
  }
}

const pluginError = (each: Installed, where: string, error: unknown): BangerError =>
  new BangerError(
    'PLUGIN_FAILED',
    `plugin ${each.origin}, capability '${each.capability.id}', failed in ${where}: ${messageOf(error)}`,
    { cause: error },
  );

/** An error that says which capability it comes from, unless it speaks for itself. */
export const named = (each: Installed, where: string, error: unknown): unknown => {
  if (
    error instanceof BangerError &&
    (each.origin === 'built-in' || error.code === 'PLUGIN_FAILED')
  )
    return error;
  if (each.origin !== 'built-in') return pluginError(each, where, error);
  return new BangerError(
    'INTERNAL',
    `capability '${each.capability.id}' failed in ${where}: ${messageOf(error)}`,
    { cause: error },
  );
};
