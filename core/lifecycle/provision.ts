import type { ProvisionStep, WorkStep } from '../capability.ts';
import { deadlineSignal } from '../deadline.ts';
import { BangerError, messageOf } from '../errors.ts';
import { byteProgress } from '../operation/byte-progress.ts';
import type { VmOperation } from '../operation/context.ts';
import type { Guest } from '../plugin-api/services/guest.ts';
import { named, type Enabled } from '../registry.ts';
import { growInGuest } from './grow.ts';
import { measureTree, packTree } from '../tar/pack-tree.ts';
import type { VmRepository } from '../vm/repository.ts';

const defaultScriptTimeoutMs = 300_000;
const defaultFileMode = 0o644;
/** The last of a failed script's output that goes into the error. */
const outputTailBytes = 2000;

/** What is smaller is there before anyone could read how far it is. */
const worthProgressBytes = 1024 ** 2;

type StepOf<K extends ProvisionStep['kind']> = Extract<ProvisionStep, { kind: K }>;

/** A step failed; what becomes of the VM is the caller's to decide. */
export class ProvisionError extends BangerError {
  readonly isRequired: boolean;

  constructor(message: string, cause: unknown, isRequired: boolean) {
    super('PROVISION_FAILED', message, { cause });
    this.isRequired = isRequired;
  }
}

const runScript = async (
  step: StepOf<'script'>,
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

const putTree = async (
  { source, path, fileMode }: StepOf<'tree'>,
  guest: Guest,
  operation: VmOperation,
): Promise<void> => {
  const { bytes: total } = await measureTree(source);
  const progress = byteProgress(operation);
  const tar = packTree(source, {
    ...(fileMode === undefined ? {} : { fileMode }),
    signal: operation.signal,
    onNote: (text) => {
      operation.notice(`${source}: ${text}`);
    },
    onBytes: (bytes) => {
      if (total >= worthProgressBytes) progress(bytes, total);
    },
  });
  try {
    await guest.untar({ path }, tar, operation.signal);
  } catch (error) {
    throw new Error(`${source}: ${messageOf(error)}`, { cause: error });
  }
};

export const runStep = async (
  step: WorkStep,
  guest: Guest,
  operation: VmOperation,
): Promise<void> => {
  switch (step.kind) {
    case 'script':
      return runScript(step, guest, operation);
    case 'grow':
      return growInGuest(guest, step.path, step.bytes, operation.signal);
    case 'tree':
      return putTree(step, guest, operation);
    case 'file': {
      const { content, path, mode = defaultFileMode } = step;
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      return guest.put(path, bytes, mode, operation.signal);
    }
  }
};

/**
 * Runs and records the steps that capabilities return as data, in the capabilities' order, each as a stage of its own.
 * @param generation of the root disk: what was done `once` on another one is done again
 * @throws ProvisionError naming capability and step; BangerError PLUGIN_FAILED
 */
export const provision = async (
  capabilities: readonly Enabled[],
  operation: VmOperation & { stage(name: string): void },
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
      if (step.kind === 'notice') {
        operation.notice(`${id}: ${step.summary}`);
        continue;
      }
      operation.stage(`${id}: ${step.summary}`);
      try {
        await runStep(step, guest(), operation);
      } catch (error) {
        if (operation.signal.aborted)
          throw new BangerError('OPERATION_CANCELLED', 'provisioning was cancelled');
        throw new ProvisionError(
          `step '${step.id}' of '${id}' failed: ${messageOf(error)}`,
          error,
          step.required === true,
        );
      }
      vms.recordProvisioned(vm.id, id, step.id, generation);
    }
  }
};
