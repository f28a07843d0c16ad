import type { LeakReport } from '../api/contract/types.ts';
import { BangerError, messageOf, toBangerError } from '../errors.ts';
import { findLeaks, type Leak } from '../ledger/leaks.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { VmRepository } from '../vm/repository.ts';
import type { Lifecycle } from './lifecycle.ts';

/** One disagreement of the ledger and the host, as its reader sees it. */
type Told = LeakReport['leaks'][number];

interface Deps {
  readonly ledger: Ledger;
  readonly vms: VmRepository;
  readonly lifecycle: Lifecycle;
}

/** A live VM that the record takes for stopped, as after an older backup of the database was restored. */
const strayOf = (leak: Leak, vms: VmRepository): string | undefined =>
  leak.kind === 'orphan' && leak.found.vmId !== undefined
    ? vms.find(leak.found.vmId)?.name
    : undefined;

interface Subject {
  readonly capability: string;
  readonly what: string;
  readonly vmId: string | null | undefined;
}

const subjectOf = (leak: Leak): Subject => {
  switch (leak.kind) {
    case 'orphan': {
      const { member, found } = leak;
      return { capability: member.capability.id, what: found.description, vmId: found.vmId };
    }
    case 'gone': {
      const { capability, id, ownerId } = leak.claim;
      return { capability, what: `claim ${id}`, vmId: ownerId };
    }
    case 'unreadable': {
      const { capability, id, owner_id: vmId } = leak.row;
      return { capability, what: `claim ${id}`, vmId };
    }
    case 'unseen':
      return { capability: leak.member.capability.id, what: 'all that it has', vmId: null };
  }
};

const tell = (leak: Leak, vms: VmRepository, fixed: boolean, detail: string): Told => {
  const { capability, what, vmId } = subjectOf(leak);
  const vm = vmId === null || vmId === undefined ? undefined : vms.find(vmId);
  return { kind: leak.kind, capability, what, vm: vm?.name ?? null, fixed, detail };
};

const ofStray = (vm: string): string =>
  `VM '${vm}' runs, though its record says otherwise; shut it down from inside, or end that process`;

const explain = (leak: Leak, vms: VmRepository): string => {
  switch (leak.kind) {
    case 'orphan': {
      const stray = strayOf(leak, vms);
      return stray === undefined
        ? 'no claim knows it; `banger doctor --leaks --fix` removes it'
        : ofStray(stray);
    }
    case 'gone':
      return 'its object is not there; `banger doctor --leaks --fix` puts it back or drops the claim, where that loses nothing';
    case 'unreadable':
    case 'unseen':
      return leak.why;
  }
};

/** Changes nothing. */
export const reportLeaks = async ({ ledger, vms }: Deps): Promise<Told[]> =>
  (await findLeaks(ledger)).map((leak) => tell(leak, vms, false, explain(leak, vms)));

/** What is claimed of a VM is its stop's or its delete's to release: that may lose what the user wrote. */
const fixGone = async (
  { claim, member }: Extract<Leak, { kind: 'gone' }>,
  { ledger, vms, lifecycle }: Deps,
): Promise<string> => {
  const vm = claim.ownerId === null ? undefined : vms.find(claim.ownerId);
  if (vm === undefined) {
    const found = await member.capability.teardown?.reconcile(claim, member.host);
    if (found === 'healthy' || found === 'repaired') return 'put back';
    if (found === 'unknown') throw new BangerError('PRIVILEGE_UNAVAILABLE', 'it cannot be checked');
    await ledger.release(claim.id);
    return 'claim dropped';
  }
  // Not past its operations: what is put back after a stop would be a leak itself.
  await lifecycle.checkHealthOf(vm.id);
  const found = (await member.capability.teardown?.scan(member.host)) ?? [];
  if (found.some(({ token }) => token === claim.token)) return 'put back';
  const [loss, remedy] =
    claim.scope === 'vm'
      ? ['; what was in it is gone', `Delete the VM: banger vm delete --force ${vm.name}`]
      : ['', `Restart the VM: banger vm restart ${vm.name}`];
  throw new BangerError('VM_NOT_CLEAN', `VM '${vm.name}' has lost it${loss}`, { remedy });
};

/** @returns what was done. @throws BangerError why nothing was */
const fix = async (leak: Leak, isStrayThere: boolean, deps: Deps): Promise<string> => {
  switch (leak.kind) {
    case 'orphan': {
      const stray = strayOf(leak, deps.vms);
      if (stray !== undefined || isStrayThere) {
        throw new BangerError(
          'VM_RUNNING',
          stray === undefined ? 'it may be of the VM that runs unrecorded' : ofStray(stray),
          { remedy: 'Run the command again when that VM has ended.' },
        );
      }
      await deps.ledger.releaseOrphan(leak.member.capability, leak.found);
      return 'removed';
    }
    case 'gone':
      return fixGone(leak, deps);
    case 'unreadable':
    case 'unseen':
      throw new BangerError('CLAIM_UNREADABLE', leak.why);
  }
};

/**
 * Removes what no claim knows, by the same teardown as everything else, latest capability first; puts back what
 * can be. A VM on record is never ended, nor is anything taken away while one runs that its record does not know of.
 */
export const fixLeaks = async (deps: Deps): Promise<Told[]> => {
  const leaks = await findLeaks(deps.ledger);
  const order = deps.ledger.survey().members.map(({ capability }) => capability.id);
  const rank = (leak: Leak): number => order.indexOf(subjectOf(leak).capability);
  const isStrayThere = leaks.some((leak) => strayOf(leak, deps.vms) !== undefined);
  const told: Told[] = [];
  for (const leak of leaks.sort((one, other) => rank(other) - rank(one))) {
    try {
      told.push(tell(leak, deps.vms, true, await fix(leak, isStrayThere, deps)));
    } catch (error) {
      const detail = `${messageOf(error)}. ${toBangerError(error).remedy}`;
      told.push(tell(leak, deps.vms, false, detail));
    }
  }
  return told;
};
