import type { ProvisionStep } from '../capability.ts';
import { deadlineSignal } from '../deadline.ts';
import { BangerError, messageOf } from '../errors.ts';
import type { VmOperation } from '../operation/context.ts';
import { GuestsRef, type Guest } from '../plugin-api/services/guest.ts';
import { named, type Enabled, type Registry } from '../registry.ts';
import { growInGuest } from './grow.ts';
import type { VmRepository } from '../vm/repository.ts';

const defaultScriptTimeoutMs = 300_000;
const defaultFileMode = 0o644;
/** The last of a failed script's output that goes into the error. */
const outputTailBytes = 2000;

const runScript = async (
  step: Extract<ProvisionStep, { kind: 'script' }>,
  guest: Guest,
  operation: VmOperation,
): Promise<void> => {
  const signal = deadlineSignal(step.timeoutMs ?? defaultScriptTimeoutMs, operation.signal);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-outputTailBytes);
  };
  const session = await guest.exec(
    {
      argv: ['/bin/sh', '-eu', '-c', step.script],
      cwd: '/root',
      stdin: false,
      onStdout: keep,
      onStderr: keep,
    },
    signal,
  );
  const result = await session.result;
  if (result.kind === 'exit' && result.code === 0) return;
  const how =
    result.kind === 'exit' ? `exit code ${String(result.code)}` : `signal ${String(result.signal)}`;
  throw new Error(`${how}${output.trim() === '' ? '' : `: ${output.trim()}`}`);
};

export const runStep = (
  step: ProvisionStep,
  guest: Guest,
  operation: VmOperation,
): Promise<void> =>
  step.kind === 'grow'
    ? growInGuest(guest, step.path, step.bytes, operation.signal)
    : step.kind === 'script'
      ? runScript(step, guest, operation)
      : guest.put(
          step.path,
          typeof step.content === 'string' ? Buffer.from(step.content) : step.content,
          step.mode ?? defaultFileMode,
          operation.signal,
        );

/** @throws BangerError GUEST_UNREACHABLE, VM_NOT_RUNNING */
export const guestOf = (
  registry: Registry,
  vm: { readonly id: string; readonly name: string },
): Guest => {
  const guests = registry.service(GuestsRef);
  if (guests === undefined)
    throw new BangerError('GUEST_UNREACHABLE', 'no capability reaches into the guest');
  return guests.of(vm);
};

/**
 * Runs and records the steps that capabilities return as data, in the capabilities' order.
 * @param generation of the root disk: what was done `once` on another one is done again
 * @throws BangerError PROVISION_FAILED or PLUGIN_FAILED, naming capability and step
 */
export const provision = async (
  capabilities: readonly Enabled[],
  operation: VmOperation,
  guest: () => Guest,
  generation: string,
  vms: VmRepository,
): Promise<void> => {
  const { vm } = operation;
  for (const each of capabilities) {
    let steps: readonly ProvisionStep[];
    try {
      steps = (await each.handlers.provision?.(vm)) ?? [];
    } catch (error) {
      throw named(each, 'provision', error);
    }
    const { id } = each.capability;
    for (const step of steps) {
      if (step.when === 'once' && vms.provisioned(vm.id, id, step.id) === generation) continue;
      operation.progress({ text: `${id}: ${step.summary}` });
      try {
        await runStep(step, guest(), operation);
      } catch (error) {
        if (operation.signal.aborted)
          throw new BangerError('OPERATION_CANCELLED', 'provisioning was cancelled');
        throw new BangerError(
          'PROVISION_FAILED',
          `step '${step.id}' of '${id}' failed: ${messageOf(error)}`,
          { cause: error },
        );
      }
      vms.recordProvisioned(vm.id, id, step.id, generation);
    }
  }
};
