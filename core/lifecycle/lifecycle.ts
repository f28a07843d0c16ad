import { v7 as uuidv7 } from 'uuid';
import type { CreateVm, Operation, SetVm } from '../api/contract/types.ts';
import { deadlineSignal, within } from '../deadline.ts';
import { BangerError, toBangerError } from '../errors.ts';
import type { RunningOperation } from '../operation/operations.ts';
import { ImagesRef } from '../plugin-api/services/images.ts';
import { isVmName, vmNameRule } from '../vm/name.ts';
import { generateName } from '../vm/names.ts';
import { isUp, type Vm } from '../vm/repository.ts';
import type { VmmExit, VmmHandle } from '../vmm/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import { checkHealth } from './health.ts';
import { Leases } from './leases.ts';
import { pauseVm, resumeVm } from './pause.ts';
import { assertMemory, changedSpec, setVm } from './set.ts';
import { startVm, type StartOutcome } from './start.ts';
import { stopVm, tellExited } from './stop.ts';
import { describeFailures, unwindRun, unwindVm } from './unwind.ts';

interface Active {
  readonly operation: Operation;
  readonly settled: Promise<void>;
  /** Aborted: a stop that has to hurry (kill). */
  readonly hurry: AbortController;
}

/** Kinds of operations that stop, kill and delete cancel rather than wait for. */
const cancellable: ReadonlySet<string> = new Set(['create', 'start', 'restart']);

/** Of the daemon's own operation, which nobody asked for. */
const exitKind = 'exit';

/** What is done to VMs. One operation a VM at a time. */
export class Lifecycle {
  readonly #deps: LifecycleDeps;
  readonly #active = new Map<string, Active>();
  /** Health checks under way, by VM: an operation waits for its VM's. */
  readonly #checks = new Map<string, Promise<void>>();
  /** Those whose capabilities have yet to take them up again, since they were paused when this daemon found them. */
  readonly #adoptedPaused = new Set<string>();
  readonly leases: Leases;
  #closing = false;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
    this.leases = new Leases((vmId) => {
      this.#leaseLost(vmId);
    });
  }

  activeOperation(vmId: string): Operation | undefined {
    return this.#active.get(vmId)?.operation;
  }

  #begin(
    vm: Vm,
    kind: string,
    work: (operation: RunningOperation, hurry: AbortSignal) => Promise<void>,
  ): Operation {
    if (this.#closing) throw new BangerError('INTERRUPTED', 'the daemon is stopping');
    const busy = this.#active.get(vm.id);
    if (busy !== undefined) {
      throw new BangerError('VM_BUSY', `VM '${vm.name}' is busy: ${busy.operation.kind}`, {
        operationId: busy.operation.id,
      });
    }
    const hurry = new AbortController();
    const { operation, settled } = this.#deps.operations.begin({ kind, vm }, async (running) => {
      try {
        // What a check puts back must not come after an unwind has taken it away.
        await this.#checks.get(vm.id);
        await work(running, hurry.signal);
      } finally {
        // Before the operation's end is told: whoever hears of it may go on with this VM at once.
        this.#active.delete(vm.id);
      }
      return undefined;
    });
    this.#active.set(vm.id, { operation, settled, hurry });
    return operation;
  }

  /** Whoever comes while the daemon takes away what a guest that has ended left waits for that. */
  async #afterExit(vmId: string): Promise<void> {
    const active = this.#active.get(vmId);
    if (active?.operation.kind === exitKind) await active.settled;
  }

  /** stop, kill and delete during a start cancel it and wait for its unwind. */
  async #preempt(vm: Vm): Promise<Vm | undefined> {
    await this.#afterExit(vm.id);
    const active = this.#active.get(vm.id);
    if (active !== undefined && cancellable.has(active.operation.kind)) {
      this.#deps.operations.cancel(active.operation.id);
      await active.settled;
    }
    return this.#deps.vms.find(vm.id);
  }

  /**
   * Records a VM and, unless `start` is false, starts it. A first start that fails before the VMM
   * was launched leaves no record.
   * @throws BangerError VM_NAME_INVALID, VM_EXISTS, IMAGE_UNKNOWN, VM_RESOURCES; no record is left
   */
  async create(input: CreateVm): Promise<{ vm: Vm; operation?: Operation }> {
    const { vms, settings, registry } = this.#deps;
    const { defaults } = settings;
    const name =
      input.name === undefined || input.name === ''
        ? generateName((candidate) => vms.find(candidate) !== undefined)
        : input.name;
    if (!isVmName(name)) {
      throw new BangerError(
        'VM_NAME_INVALID',
        `'${name.slice(0, 80)}' is not a VM name: ${vmNameRule}`,
      );
    }
    if (vms.find(name) !== undefined)
      throw new BangerError('VM_EXISTS', `a VM named '${name}' exists already`);
    const memoryMib = input.memoryMib ?? defaults.memoryMib;
    assertMemory(memoryMib);
    const image = input.image ?? defaults.image;
    await registry.service(ImagesRef)?.assertKnown(image);
    const vm = vms.insert({
      id: uuidv7(),
      name,
      image,
      vcpus: input.vcpus ?? defaults.vcpus,
      memoryMib,
      diskBytes: input.diskBytes ?? defaults.diskBytes,
      nat: input.nat ?? true,
      ephemeral: input.ephemeral ?? false,
      createdAt: new Date().toISOString(),
    });
    if (vm.ephemeral) this.leases.expect(vm.id);
    if (input.start === false) return { vm };
    const operation = this.#begin(vm, 'create', async (running) => {
      const how: { reached: StartOutcome['reached'] } = { reached: 'nothing' };
      try {
        await this.#start(vm, running, (reached) => (how.reached = reached));
      } catch (error) {
        const { reached } = how;
        if (reached === 'nothing' || (vm.ephemeral && reached === 'boot')) await this.#remove(vm);
        throw error;
      }
    });
    return { vm, operation };
  }

  async #start(
    vm: Vm,
    running: RunningOperation,
    onReached: (reached: StartOutcome['reached']) => void = () => undefined,
  ): Promise<void> {
    const runId = uuidv7();
    await startVm(this.#deps, vm, runId, running, (reached, handle) => {
      onReached(reached);
      if (handle !== undefined) this.watch(vm.id, runId, handle);
    });
  }

  /** @returns undefined where it runs already */
  async start(nameOrId: string): Promise<Operation | undefined> {
    await this.#afterExit(this.#deps.vms.get(nameOrId).id);
    const vm = this.#deps.vms.get(nameOrId);
    if (vm.run.state === 'running' && !this.#active.has(vm.id)) return undefined;
    if (vm.run.state === 'paused') return this.resume(vm.id);
    return this.#begin(vm, 'start', (running) => this.#start(vm, running));
  }

  /**
   * @returns undefined where it is paused already
   * @throws BangerError VM_NOT_RUNNING
   */
  async pause(nameOrId: string): Promise<Operation | undefined> {
    await this.#afterExit(this.#deps.vms.get(nameOrId).id);
    const vm = this.#deps.vms.get(nameOrId);
    if (vm.run.state === 'paused' && !this.#active.has(vm.id)) return undefined;
    if (vm.run.state !== 'running')
      throw new BangerError('VM_NOT_RUNNING', `VM '${vm.name}' is ${vm.run.state}`);
    return this.#begin(vm, 'pause', () => pauseVm(this.#deps, vm));
  }

  /**
   * @returns undefined where it runs already
   * @throws BangerError VM_NOT_RUNNING
   */
  async resume(nameOrId: string): Promise<Operation | undefined> {
    await this.#afterExit(this.#deps.vms.get(nameOrId).id);
    const vm = this.#deps.vms.get(nameOrId);
    if (vm.run.state === 'running' && !this.#active.has(vm.id)) return undefined;
    if (vm.run.state !== 'paused')
      throw new BangerError('VM_NOT_RUNNING', `VM '${vm.name}' is ${vm.run.state}`);
    return this.#begin(vm, 'resume', (running) => this.#resume(vm, running));
  }

  async #resume(vm: Vm, running: RunningOperation): Promise<void> {
    await resumeVm(this.#deps, vm, running, this.#adoptedPaused.has(vm.id));
    this.#adoptedPaused.delete(vm.id);
  }

  /** @returns undefined where it is stopped already */
  async stop(nameOrId: string): Promise<Operation | undefined> {
    const vm = await this.#preempt(this.#deps.vms.get(nameOrId));
    if (vm === undefined || this.#isStopped(vm)) return undefined;
    return this.#begin(vm, 'stop', (running, hurry) => this.#stop(vm, running, hurry));
  }

  /**
   * As `stop`, of a VM that nobody waits for; the reason stays in its run record until the next start.
   * @returns undefined where it does not run, or somebody works on it
   */
  stopUnused(vmId: string, why: string): Operation | undefined {
    const { vms } = this.#deps;
    const vm = vms.find(vmId);
    if (vm?.run.state !== 'running' || this.#active.has(vmId) || this.#closing) return undefined;
    return this.#begin(vm, 'stop', async (running, hurry) => {
      running.notice(why);
      await this.#stop(vm, running, hurry);
      if (vms.find(vmId) !== undefined) vms.setCondition(vmId, 'auto-stopped', why);
    });
  }

  #isStopped(vm: Vm): boolean {
    return vm.run.state === 'stopped' && !this.#active.has(vm.id);
  }

  /** An ephemeral VM that has stopped is of no use to anyone. */
  async #stop(vm: Vm, running: RunningOperation, hurry: AbortSignal): Promise<void> {
    await this.#stopInOrder(vm, running, hurry);
    if (vm.ephemeral) await this.#remove(vm);
  }

  /** Who stands still does not hear that it is to end: it goes on first. */
  async #stopInOrder(vm: Vm, running: RunningOperation, hurry: AbortSignal): Promise<void> {
    if (vm.run.state === 'paused' && !hurry.aborted)
      await this.#resume(vm, { ...running, signal: hurry }).catch((error: unknown) => {
        this.#deps.log.warn({ vm: vm.name, err: error }, 'it stays paused; going on');
      });
    await stopVm(this.#deps, vm, running, hurry);
  }

  async restart(nameOrId: string): Promise<Operation> {
    const vm = await this.#preempt(this.#deps.vms.get(nameOrId));
    if (vm === undefined) throw new BangerError('VM_UNKNOWN', `there is no VM '${nameOrId}'`);
    return this.#begin(vm, 'restart', async (running, hurry) => {
      if (vm.run.state !== 'stopped') await this.#stopInOrder(vm, running, hurry);
      await this.#start(vm, running);
    });
  }

  /**
   * Changes what the VM is to have; live where that can be, else at its next start.
   * @throws BangerError INPUT_INVALID, VM_RESOURCES
   */
  set(nameOrId: string, change: SetVm): Operation {
    const vm = this.#deps.vms.get(nameOrId);
    const to = changedSpec(vm, change);
    return this.#begin(vm, 'set', (running) => setVm(this.#deps, vm, to, running));
  }

  /** No gentleness; a stop that is under way is made to hurry. */
  async kill(nameOrId: string): Promise<Operation | undefined> {
    const vm = await this.#preempt(this.#deps.vms.get(nameOrId));
    if (vm === undefined || this.#isStopped(vm)) return undefined;
    const active = this.#active.get(vm.id);
    if (active?.operation.kind === 'stop') {
      active.hurry.abort();
      return active.operation;
    }
    return this.#begin(vm, 'kill', (running) =>
      this.#stop(vm, running, AbortSignal.abort(new Error('killed'))),
    );
  }

  /**
   * @returns undefined where a cancelled create has removed it already
   * @throws BangerError VM_RUNNING, VM_HOLDS_WORK without `force`
   */
  async delete(nameOrId: string, force: boolean): Promise<Operation | undefined> {
    const found = this.#deps.vms.get(nameOrId);
    const isUp = found.run.state !== 'stopped' && found.run.state !== 'deleting';
    if (isUp && !force)
      throw new BangerError('VM_RUNNING', `VM '${found.name}' is ${found.run.state}`);
    if (!force) await this.#deps.registry.assertDeletable(found);
    const vm = await this.#preempt(found);
    if (vm === undefined) return undefined;
    return this.#begin(vm, 'delete', async (running) => {
      // What is thrown away needs no clean shutdown.
      if (vm.run.state !== 'stopped')
        await stopVm(this.#deps, vm, running, AbortSignal.abort(new Error('deleted')));
      running.stage('delete');
      await this.#remove(vm);
    });
  }

  async #remove(vm: Vm): Promise<void> {
    const { vms, ledger } = this.#deps;
    vms.updateRun(vm.id, { state: 'deleting' });
    const failures = await unwindVm(ledger, vm.id);
    if (failures.length > 0) {
      const error = new BangerError(
        'VM_NOT_CLEAN',
        `VM '${vm.name}' keeps its record, because this cannot be removed: ${describeFailures(failures)}`,
        { remedy: `Mend that, then run \`banger vm delete ${vm.name}\` again.` },
      );
      vms.stopRun(vm.id, error.toBody());
      throw error;
    }
    vms.remove(vm.id);
    this.leases.forget(vm.id);
    this.#deps.usage.forget(vm.id);
  }

  /** Notices when the VMM goes by itself. */
  watch(vmId: string, runId: string, handle: VmmHandle): void {
    this.#deps.handles.set(vmId, handle);
    this.#adoptedPaused.delete(vmId); // of an earlier run
    void handle.exited.then((exit) => {
      this.#exited(vmId, runId, exit);
    });
  }

  #exited(vmId: string, runId: string, exit: VmmExit): void {
    const { vms, ledger, handles } = this.#deps;
    const vm = vms.find(vmId);
    // A stop, or a later run: whoever ended it also unwinds it.
    if (vm?.run.runId !== runId || !isUp(vm)) return;
    if (this.#active.has(vmId)) {
      // A start that is still provisioning: it fails by itself; then this is looked at again.
      void this.#active.get(vmId)?.settled.then(() => {
        this.#exited(vmId, runId, exit);
      });
      return;
    }
    this.#begin(vm, exitKind, async (running) => {
      await tellExited(this.#deps, { ...running, vm, runId });
      await unwindRun(ledger, vmId, runId);
      handles.delete(vmId);
      const error = await endedByItself(exit);
      vms.stopRun(vmId, error?.toBody() ?? null);
      if (error === undefined) vms.setCondition(vmId, 'guest-ended', exit.detail);
      if (vm.ephemeral) await this.#remove(vm);
    });
  }

  /** Looks after all VMs, one after the other. */
  async checkHealth(): Promise<void> {
    for (const { id } of this.#deps.vms.list()) await this.checkHealthOf(id);
  }

  /** Of a VM that runs and that nobody works on; others are left to who does. */
  async checkHealthOf(vmId: string): Promise<void> {
    const vm = this.#deps.vms.find(vmId);
    if (vm === undefined || !isUp(vm) || this.#active.has(vmId) || this.#closing) return;
    const check =
      this.#checks.get(vmId) ??
      checkHealth(this.#deps, vmId)
        .catch((error: unknown) => {
          this.#deps.log.error({ vm: vm.name, err: error }, 'health check failed');
        })
        .finally(() => this.#checks.delete(vmId));
    this.#checks.set(vmId, check);
    await check;
  }

  /** An ephemeral VM's client is gone. */
  #leaseLost(vmId: string): void {
    const vm = this.#deps.vms.find(vmId);
    if (vm?.ephemeral !== true) return;
    this.delete(vmId, true).catch((error: unknown) => {
      const { code } = toBangerError(error);
      if (code === 'VM_UNKNOWN') return;
      this.#deps.log.warn({ vm: vm.name, code }, 'ephemeral VM could not be deleted yet');
      // Busy with a stop or delete of its own: look again when that is through.
      void this.#active.get(vmId)?.settled.then(() => {
        this.#leaseLost(vmId);
      });
    });
  }

  /** Takes no more work; returns when what runs is through, or at the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.#closing = true;
    this.leases.close();
    const deadline = deadlineSignal(deadlineMs);
    const all = Promise.all([this.#deps.operations.allSettled(), ...this.#checks.values()]);
    await within(deadline, all).catch((error: unknown) => {
      this.#deps.log.warn({ error }, 'operations are still under way; they will be recovered');
    });
  }

  // What an earlier daemon left half-way, see recovery.ts.

  adopt(vm: Vm, handle: VmmHandle, isPaused: boolean): void {
    this.watch(vm.id, vm.run.runId ?? '', handle);
    if (isPaused) this.#adoptedPaused.add(vm.id);
    if (vm.ephemeral) this.leases.expect(vm.id);
  }

  finish(vm: Vm): void {
    this.#begin(vm, vm.run.state === 'deleting' ? 'delete' : 'stop', async (running) => {
      await stopVm(this.#deps, vm, running, AbortSignal.abort(new Error('recovered')));
      if (vm.run.state === 'deleting' || vm.ephemeral) await this.#remove(vm);
    });
  }
}

/** @returns undefined where the guest has ended itself in good order */
const endedByItself = async (exit: VmmExit): Promise<BangerError | undefined> => {
  const panic = await exit.panic?.();
  if (panic !== undefined)
    return new BangerError('GUEST_PANIC', `the guest's kernel panicked: ${panic}`);
  return exit.clean
    ? undefined
    : new BangerError('VMM_FAILED', `the VM ended by itself: ${exit.detail}`);
};
