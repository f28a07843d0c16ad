import { BangerError, messageOf, toBangerError } from '../errors.ts';
import { findLeaks, type Leak } from '../ledger/leaks.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { VmRepository } from '../vm/repository.ts';

/** One disagreement of the ledger and the host, as its reader sees it. */
export interface LeakReport {
  readonly kind: Leak['kind'];
  readonly capability: string;
  /** What it is, on the host or in the ledger. */
  readonly what: string;
  /** The VM it is of, where that is known. */
  readonly vm: string | null;
  readonly fixed: boolean;
  /** Why it is still there, and what to do. */
  readonly detail: string;
}

interface Deps {
  readonly ledger: Ledger;
  readonly vms: VmRepository;
}

/** A live VM that the record takes for stopped, as after an older backup of the database was restored. */
const strayOf = (leak: Leak, vms: VmRepository): string | undefined =>
  leak.kind === 'orphan' && leak.found.vmId !== undefined
    ? vms.find(leak.found.vmId)?.name
    : undefined;

const describe = (leak: Leak, vms: VmRepository): Omit<LeakReport, 'fixed' | 'detail'> => {
  const nameOf = (vmId: string | null | undefined): string | null =>
    vmId === null || vmId === undefined ? null : (vms.find(vmId)?.name ?? null);
  const { kind } = leak;
  switch (kind) {
    case 'orphan':
      return {
        kind,
        capability: leak.member.capability.id,
        what: leak.found.description,
        vm: nameOf(leak.found.vmId),
      };
    case 'gone':
      return {
        kind,
        capability: leak.claim.capability,
        what: `claim ${leak.claim.id}`,
        vm: nameOf(leak.claim.ownerId),
      };
    case 'unreadable':
      return {
        kind,
        capability: leak.row.capability,
        what: `claim ${leak.row.id}`,
        vm: nameOf(leak.row.owner_id),
      };
    case 'unseen':
      return { kind, capability: leak.member.capability.id, what: 'all that it has', vm: null };
  }
};

const explain = (leak: Leak, stray: string | undefined): string => {
  switch (leak.kind) {
    case 'orphan':
      if (stray !== undefined)
        return `VM '${stray}' runs, though its record says otherwise; shut it down from inside, or end that process`;
      return 'no claim knows it; `banger doctor --leaks --fix` removes it';
    case 'gone':
      return 'its object is not there; `banger doctor --leaks --fix` puts it back or drops the claim, where that loses nothing';
    case 'unreadable':
    case 'unseen':
      return leak.why;
  }
};

/** Changes nothing. */
export const reportLeaks = async ({ ledger, vms }: Deps): Promise<LeakReport[]> =>
  (await findLeaks(ledger)).map((leak) => ({
    ...describe(leak, vms),
    fixed: false,
    detail: explain(leak, strayOf(leak, vms)),
  }));

/** What is claimed of a VM is its stop's or its delete's to release: that may lose what the user wrote. */
const fixGone = async (
  { claim, member }: Extract<Leak, { kind: 'gone' }>,
  { ledger, vms }: Deps,
): Promise<string> => {
  const found = await member.capability.teardown?.reconcile(claim, member.host);
  if (found === 'healthy' || found === 'repaired') return 'put back';
  if (found === 'unknown') throw new BangerError('PRIVILEGE_UNAVAILABLE', 'it cannot be checked');
  const vm = claim.ownerId === null ? undefined : vms.find(claim.ownerId);
  if (vm !== undefined) {
    throw new BangerError(
      'VM_NOT_CLEAN',
      claim.scope === 'vm'
        ? `VM '${vm.name}' has lost it; what was in it is gone`
        : `VM '${vm.name}' has lost it`,
      {
        remedy:
          claim.scope === 'vm'
            ? `Delete the VM: banger vm delete --force ${vm.name}`
            : `Restart the VM: banger vm restart ${vm.name}`,
      },
    );
  }
  await ledger.release(claim.id);
  return 'claim dropped';
};

const fix = (leak: Leak, isStrayThere: boolean, deps: Deps): Promise<string> => {
  switch (leak.kind) {
    case 'orphan':
      if (strayOf(leak, deps.vms) !== undefined || isStrayThere) {
        const what = explain(leak, strayOf(leak, deps.vms) ?? '');
        return Promise.reject(
          new BangerError(
            'VM_RUNNING',
            strayOf(leak, deps.vms) === undefined
              ? 'it may be of the VM that runs unrecorded'
              : what,
            { remedy: 'Run the command again when that VM has ended.' },
          ),
        );
      }
      return deps.ledger.releaseOrphan(leak.member.capability, leak.found).then(() => 'removed');
    case 'gone':
      return fixGone(leak, deps);
    case 'unreadable':
    case 'unseen':
      return Promise.reject(new BangerError('CLAIM_UNREADABLE', leak.why));
  }
};

/**
 * Removes what no claim knows, by the same teardown as everything else, latest capability first; puts back what
 * can be. A VM on record is never ended, nor is anything taken away while one runs that its record does not know of.
 */
export const fixLeaks = async (deps: Deps): Promise<LeakReport[]> => {
  const leaks = await findLeaks(deps.ledger);
  const order = deps.ledger.survey().members.map(({ capability }) => capability.id);
  const rank = (leak: Leak): number => order.indexOf(describe(leak, deps.vms).capability);
  const isStrayThere = leaks.some((leak) => strayOf(leak, deps.vms) !== undefined);
  const reports: LeakReport[] = [];
  for (const leak of leaks.sort((one, other) => rank(other) - rank(one))) {
    const report = describe(leak, deps.vms);
    try {
      reports.push({ ...report, fixed: true, detail: await fix(leak, isStrayThere, deps) });
    } catch (error) {
      const { remedy } = toBangerError(error);
      reports.push({ ...report, fixed: false, detail: `${messageOf(error)}. ${remedy}` });
    }
  }
  return reports;
};
