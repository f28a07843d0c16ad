import { BangerError, messageOf } from '../errors.ts';
import type { RunningOperation } from '../operation/operations.ts';
import type { Vm } from '../vm/repository.ts';
import type { VmmHandle } from '../vmm/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import { checkHealth } from './health.ts';
import { takeUp } from './take-up.ts';
import { describeFailures, unwindHalf, unwindRun } from './unwind.ts';

/** Helpers of an earlier daemon, as far as recovery is concerned. */
export interface HelperGate {
  /** When none of them lives: nothing is undone before. */
  readonly ready: Promise<void>;
  /** Those that are still there, for messages. */
  blocking(): Promise<string[]>;
}

export interface RecoveryStatus {
  readonly state: 'waiting' | 'running' | 'done';
  /** Names of the VMs that are still being looked at. */
  readonly pending: string[];
  /** `pid (arguments)` of helpers that an earlier daemon left and that have to end first. */
  readonly waitingFor: string[];
}

/** What a daemon finds when it starts, put in order; see the table in ARCHITECTURE.md. */
export class Recovery {
  readonly #deps: LifecycleDeps;
  readonly #lifecycle: Lifecycle;
  readonly #gate: HelperGate;
  readonly #pending = new Map<string, Promise<void>>();
  #host: Promise<void> = Promise.resolve();
  #phase: 'waiting' | 'host' | 'vms' = 'waiting';

  constructor(deps: LifecycleDeps, lifecycle: Lifecycle, gate: HelperGate) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
    this.#gate = gate;
  }

  get isDone(): boolean {
    return this.#phase === 'vms' && this.#pending.size === 0;
  }

  async status(): Promise<RecoveryStatus> {
    const pending = [...this.#pending.keys()].map((id) => this.#deps.vms.find(id)?.name ?? id);
    const isWaiting = this.#phase === 'waiting';
    return {
      state: this.isDone ? 'done' : isWaiting ? 'waiting' : 'running',
      pending,
      waitingFor: isWaiting ? await this.#gate.blocking() : [],
    };
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
    this.#host = this.#gate.ready.then(async () => {
      this.#phase = 'host';
      await this.#recoverHost();
      this.#phase = 'vms';
    });
    for (const vm of this.#deps.vms.list()) {
      const recovering = this.#host
        .then(() => this.#recoverVm(vm))
        .catch((error: unknown) => {
          this.#deps.log.error({ vm: vm.name, err: error }, 'recovery failed');
        })
        .finally(() => this.#pending.delete(vm.id));
      this.#pending.set(vm.id, recovering);
    }
    // Each VM's recovery has it as well; where there is none, the first request is told.
    this.#host.catch((error: unknown) => {
      this.#deps.log.error({ err: error }, 'the host could not be recovered');
    });
  }

  async #recoverHost(): Promise<void> {
    const { ledger, log } = this.#deps;
    const scopes = ['host', 'store'] as const;
    try {
      await ledger.unwindOtherBoots();
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
      case 'running':
      case 'paused':
        await this.#recoverRunning(vm);
        return;
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

  async #recoverRunning(vm: Vm): Promise<void> {
    const { registry, ledger, log } = this.#deps;
    const found = registry.drivers().find(({ driver }) => driver.id === vm.run.driver);
    if (found === undefined) {
      // It may well run: that is for the one who switched its VMM off to mend, not for us to end.
      this.#leaveUnattended(vm, `its VMM '${vm.run.driver ?? ''}' is not at work`);
      return;
    }
    const operation = this.#operation(vm);
    const owner = { vmId: vm.id, runId: operation.runId };
    const claims = ledger.bind(found.each.capability, owner, operation.signal);
    let handle: VmmHandle | undefined;
    let isPaused = false;
    try {
      handle = await found.driver.attach(operation, claims);
      // What the VMM says, not the record: the daemon may have ended between the two.
      isPaused = (await handle?.isPaused?.()) ?? false;
    } catch (error) {
      log.error({ vm: vm.name, err: error }, 'the VMM does not answer');
      this.#leaveUnattended(vm, `its VMM does not answer: ${messageOf(error)}`);
      return;
    }
    if (handle === undefined) await this.#unwind(vm, null);
    else await this.#adopt(vm, handle, isPaused);
  }

  /** It stays as it is; an ephemeral one still goes with its client. */
  #leaveUnattended(vm: Vm, why: string): void {
    this.#deps.vms.setCondition(vm.id, 'unattended', why);
    if (vm.ephemeral) this.#lifecycle.leases.expect(vm.id);
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

  async #adopt(vm: Vm, handle: VmmHandle, isPaused: boolean): Promise<void> {
    const { ledger, vms } = this.#deps;
    await unwindHalf(ledger, vm.id);
    await checkHealth(this.#deps, vm.id);
    vms.setCondition(vm.id, 'unattended');
    vms.updateRun(vm.id, { state: isPaused ? 'paused' : 'running' });
    this.#lifecycle.adopt(vm, handle, isPaused);
    if (isPaused) return;
    await takeUp(this.#deps, this.#operation(vm));
  }
}
