import type { LifecycleDeps } from './deps.ts';

/**
 * Compares a running VM's claims with the host: what can be put back is, and what is lost marks the VM `degraded`
 * until it is there again or the VM restarts. It is not killed.
 */
export const checkHealth = async (
  { ledger, vms }: Pick<LifecycleDeps, 'ledger' | 'vms'>,
  vmId: string,
): Promise<void> => {
  const answers = await ledger.reconcile({ ownerId: vmId });
  const lost = answers.filter(({ found }) => found === 'lost').map(({ claimId }) => claimId);
  const unsure = answers.flatMap(({ claimId, error }) =>
    error === undefined ? [] : [`${claimId} (${error})`],
  );
  const detail = [
    ...(lost.length === 0 ? [] : [`lost: ${lost.join(', ')}`]),
    ...(unsure.length === 0 ? [] : [`cannot be checked: ${unsure.join(', ')}`]),
  ].join('; ');
  const vm = vms.find(vmId);
  const known = vm?.run.conditions.find(({ kind }) => kind === 'degraded')?.detail;
  if (vm === undefined || (known ?? '') === detail) return;
  vms.setCondition(vmId, 'degraded', detail === '' ? undefined : detail);
};
