import { deadlineSignal, within } from '../deadline.ts';
import { toBangerError } from '../errors.ts';
import type { VmOperation } from '../operation/context.ts';
import type { LifecycleDeps } from './deps.ts';

/** How long a capability may take to resume its work for an adopted VM, milliseconds. */
const resumeDeadlineMs = 30_000;

/** Has the capabilities resume their work for an adopted VM; a failure is a condition of it. */
export const takeUp = async (
  { registry, vms, log }: Pick<LifecycleDeps, 'registry' | 'vms' | 'log'>,
  operation: VmOperation,
): Promise<void> => {
  const { vm } = operation;
  try {
    const deadline = deadlineSignal(resumeDeadlineMs, operation.signal);
    await within(deadline, registry.hooks.resume.promise({ ...operation, signal: deadline }));
  } catch (error) {
    log.error({ vm: vm.name, err: error }, 'resume failed');
    vms.setCondition(vm.id, 'unattended', toBangerError(error).message);
  }
};
