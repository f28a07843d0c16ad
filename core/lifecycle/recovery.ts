import { BangerError, messageOf, toBangerError } from '../errors.ts';
import type { RunningOperation } from '../operation/operations.ts';
import type { Vm } from '../vm/repository.ts';
import type { VmmHandle } from '../vmm/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import { describeFailures, unwindRun } from './unwind.ts';

/** What a daemon finds when it starts, put in order; see the table in ARCHITECTURE.md. */
export class Recovery {
  readonly #deps: LifecycleDeps;
  readonly #lifecycle: Lifecycle;
  readonly #pending = new Map<string, Promise<void>>();
  #host: Promise<void> = Promise.resolve();

  constructor(deps: LifecycleDeps, lifecycle: Lifecycle) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  /** Names of the VMs that are still being looked at. */
  pending(): string[] {
    return [...this.#pending.keys()].map((id) => this.#deps.vms.find(id)?.name ?? id);
  }

  /** A request for a VM waits for its recovery. */
  async of(vmId: string): Promise<void> {
    await this.#host;
    await this.#pending.get(vmId);
  }

  async ofHost(): Promise<void> {
    await this.#host;
  }

  /** Starts recovery: the host's own claims first, then VMs in parallel. */
  begin(): void {
    this.#deps.operations.interruptLeftovers();
    this.#host = this.#recoverHost();
    for (const vm of this.#deps.vms.list()) {
      const recovering = this.#host
        .then(() => this.#recoverVm(vm))
        .catch((error: unknown) => {
          this.#deps.log.error({ vm: vm.name, error: messageOf(error) }, 'recovery failed');
        })
        .finally(() => this.#pending.delete(vm.id));
      this.#pending.set(vm.id, recovering);
    }
  }

  async #recoverHost(): Promise<void> {
    const { ledger, log } = this.#deps;
    const scopes = ['host', 'store'] as const;
    try {
      await ledger.unwind({ scopes, states: ['intent', 'releasing'] });
      const lost = new Set<string>();
      for (const { claimId, found } of await ledger.reconcile({ scopes })) {
        if (found === 'lost') lost.add(claimId);
      }
      // Host objects are made anew when they are needed; a lost image is the image store's to report.
      await ledger.unwind({ scopes: ['host'] }, (row) => !lost.has(row.id));
    } catch (error) {
      log.error({ error: messageOf(error) }, 'host claims could not be recovered');
    }
  }

  async #recoverVm(vm: Vm): Promise<void> {
    const { vms, ledger, log } = this.#deps;
    switch (vm.run.state) {
      case 'running': {
        const handle = await this.#attach(vm);
        if (handle === undefined) {
          await this.#unwind(vm, null);
          return;
        }
        await this.#adopt(vm, handle);
        return;
      }
      case 'stopping':
      case 'deleting':
        this.#lifecycle.finish(vm);
        return;
      case 'starting':
        await this.#unwind(
          vm,
          new BangerError('INTERRUPTED', `the daemon ended while '${vm.name}' was starting`),
        );
        return;
      case 'stopped': {
        const failures = await unwindRun(ledger, vm.id, null);
        if (failures.length > 0)
          log.warn({ vm: vm.name, left: describeFailures(failures) }, 'leftovers stay');
        if (vm.ephemeral) this.#lifecycle.leases.expect(vm.id);
        else vms.updateRun(vm.id, { runId: null });
      }
    }
  }

  async #unwind(vm: Vm, error: BangerError | null): Promise<void> {
    const failures = await unwindRun(this.#deps.ledger, vm.id, vm.run.runId);
    if (failures.length > 0)
      this.#deps.log.warn({ vm: vm.name, left: describeFailures(failures) }, 'leftovers stay');
    this.#deps.vms.stopRun(vm.id, error?.toBody() ?? null);
    if (vm.ephemeral) this.#lifecycle.leases.expect(vm.id);
  }

  async #attach(vm: Vm): Promise<VmmHandle | undefined> {
    const { registry, ledger } = this.#deps;
    const found = registry.drivers().find(({ driver }) => driver.id === vm.run.driver);
    if (found === undefined) return undefined;
    const operation = this.#operation(vm);
    const owner = { vmId: vm.id, runId: operation.runId };
    return found.driver.attach(
      operation,
      ledger.bind(found.each.capability, owner, operation.signal),
    );
  }

  #operation(vm: Vm): RunningOperation & { vm: Vm; runId: string } {
    const { log } = this.#deps;
    return {
      id: `recovery-${vm.id}`,
      kind: 'recovery',
      signal: new AbortController().signal,
      log: log.child({ vm: vm.name }),
      progress: () => undefined,
      notice: (text) => {
        log.info({ vm: vm.name }, text);
      },
      stage: () => undefined,
      vm,
      runId: vm.run.runId ?? '',
    };
  }

  /** What is lost and cannot be repaired marks the VM degraded; it is not killed. */
  async #adopt(vm: Vm, handle: VmmHandle): Promise<void> {
    const { ledger, vms, registry, log } = this.#deps;
    await ledger.unwind({ ownerId: vm.id, states: ['intent'] });
    const answers = await ledger.reconcile({ ownerId: vm.id });
    const lost = answers.filter(({ found }) => found === 'lost').map(({ claimId }) => claimId);
    vms.setCondition(vm.id, 'degraded', lost.length === 0 ? undefined : `lost: ${lost.join(', ')}`);
    this.#lifecycle.adopt(vm, handle);
    try {
      await registry.hooks.resume.promise(this.#operation(vm));
    } catch (error) {
      log.error({ vm: vm.name, error: messageOf(error) }, 'resume failed');
      vms.setCondition(vm.id, 'degraded', toBangerError(error).message);
    }
  }
}
