import { expect, it } from 'vitest';
import { firecrackerCapability } from '../../../../capabilities/firecracker/index.ts';
import { createInstance } from '../../../../core/host/instance.ts';
import type { Ledger } from '../../../../core/ledger/ledger.ts';
import { unwindRun, unwindVm } from '../../../../core/lifecycle/unwind.ts';
import type { VmmClaims } from '../../../../core/vmm/process/identity.ts';
import { claimVmmUser, vmmUserCount } from '../../../../core/vmm/process/user.ts';
import { createTestLedger, testHost } from '../../../support/ledger.ts';

const base = 2_100_000_000;
const never = new AbortController().signal;

const claimsOf = (ledger: Ledger, vmId: string): VmmClaims =>
  ledger.bind(firecrackerCapability, { vmId, runId: 'run' }, never) as VmmClaims;

it('gives each VM’s VMM a user that no other has, for as long as the VM is there', async () => {
  const { ledger } = await createTestLedger([firecrackerCapability], testHost('/nowhere'));
  const instance = createInstance('testaa');
  const claim = (vm: string): Promise<number> => claimVmmUser(claimsOf(ledger, vm), instance, base);
  const uids = await Promise.all(['a', 'b', 'c', 'd'].map(claim));
  expect(new Set(uids).size).toBe(4);
  for (const uid of uids) {
    expect(uid).toBeGreaterThanOrEqual(base);
    expect(uid).toBeLessThan(base + vmmUserCount);
  }
  await unwindRun(ledger, 'b', 'run');
  expect(await claim('b')).toBe(uids[1]);
  await unwindVm(ledger, 'b');
  expect(await claim('e')).toBe(uids[1]);
});

it('goes to another range with the daemon’s', async () => {
  const { ledger, rows } = await createTestLedger([firecrackerCapability], testHost('/nowhere'));
  const instance = createInstance('testaa');
  const claims = claimsOf(ledger, 'a');
  await claimVmmUser(claims, instance, base);
  expect(await claimVmmUser(claims, instance, 1_000)).toBeLessThan(1_000 + vmmUserCount);
  expect(rows.select({})).toHaveLength(1);
});

it('begins elsewhere for another instance', async () => {
  const first = async (token: string): Promise<number> => {
    const { ledger } = await createTestLedger([firecrackerCapability], testHost('/nowhere'));
    return claimVmmUser(claimsOf(ledger, 'a'), createInstance(token), base);
  };
  expect(await first('testaa')).not.toBe(await first('testab'));
});
