import { rm } from 'node:fs/promises';
import {
  BangerError,
  type Claim,
  type Found,
  type Host,
  type Reconciled,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import { readForwarding, setForwarding } from './forwarding.ts';
import type { ForwardingIdentity, NatIdentity, RulesIdentity } from './identity.ts';
import { applyRules, restorePath, savedRules } from './iptables.ts';
import {
  deletionOf,
  guardOf,
  guardRule,
  isComplete,
  markerOf,
  subjectOf,
  vmRules,
  type SavedRule,
} from './rules.ts';

type NatClaim = Claim<NatIdentity, never>;

/** The marker in the comment is both the way to find a rule and the proof that it is ours. */
const ownRules = async (
  { token }: NatClaim,
  host: Host,
): Promise<{ own: SavedRule[]; all: SavedRule[] }> => {
  const all = await savedRules(host.exec);
  const marker = host.instance.marker(token);
  return { all, own: all.filter((rule) => markerOf(rule) === marker) };
};

const cleanup = async (claim: NatClaim, host: Host): Promise<void> => {
  const { identity, token } = claim;
  const { own, all } = await ownRules(claim, host);
  await applyRules(own.map(deletionOf), { ...host, token });
  if (identity.kind === 'forwarding')
    await restoreForwarding(
      identity,
      all.filter((rule) => !own.includes(rule)),
      host,
    );
  await rm(restorePath(host.directory, token), { force: true });
};

/**
 * Off again, unless another daemon's guard says that it needs it (the last one switches it off), or someone has
 * switched forwarding on for the whole host since (as Docker does), who would lose it with us.
 */
const restoreForwarding = async (
  { device, global }: ForwardingIdentity,
  others: readonly SavedRule[],
  host: Host,
): Promise<void> => {
  if (others.some((rule) => guardOf(rule)?.device === device)) {
    host.log.info({ device }, 'forwarding stays on: another daemon needs it');
    return;
  }
  const { devices, isGlobal } = await readForwarding(host.exec, [device]);
  if (devices.get(device) === true && isGlobal === global)
    await setForwarding(host.exec, device, false);
};

/** A reload of the firewall flushes rules, or restores an older set. */
const reconcileRules = async (
  identity: RulesIdentity,
  claim: NatClaim,
  host: Host,
): Promise<Reconciled> => {
  const [{ own }, { devices }] = await Promise.all([
    ownRules(claim, host),
    readForwarding(host.exec, [identity.bridge]),
  ]);
  const isForwarding = devices.get(identity.bridge) !== false;
  if (isComplete(own) && isForwarding) return 'healthy';
  const { token } = claim;
  if (!isComplete(own)) {
    const marker = host.instance.marker(token);
    await applyRules([...own.map(deletionOf), ...vmRules(identity, marker)], { ...host, token });
  }
  if (!isForwarding) await setForwarding(host.exec, identity.bridge, true);
  return 'repaired';
};

const reconcileForwarding = async (
  { device }: ForwardingIdentity,
  claim: NatClaim,
  host: Host,
): Promise<Reconciled> => {
  const [{ own }, { devices }] = await Promise.all([
    ownRules(claim, host),
    readForwarding(host.exec, [device]),
  ]);
  const isOn = devices.get(device);
  if (isOn === undefined) return 'lost';
  if (isOn && own.length === 1) return 'healthy';
  const { token } = claim;
  if (own.length === 0)
    await applyRules([guardRule(device, host.instance.marker(token))], { ...host, token });
  if (!isOn) await setForwarding(host.exec, device, true);
  return 'repaired';
};

const cannotSay = new Set(['PRIVILEGE_UNAVAILABLE', 'TOOL_MISSING']);

const reconcile = async (claim: NatClaim, host: Host): Promise<Reconciled> => {
  const { identity } = claim;
  try {
    return await (identity.kind === 'rules'
      ? reconcileRules(identity, claim, host)
      : reconcileForwarding(identity, claim, host));
  } catch (error) {
    if (error instanceof BangerError && cannotSay.has(error.code)) return 'unknown';
    throw error;
  }
};

const scan = async (host: Host): Promise<readonly Found<NatIdentity>[]> => {
  const found = new Map<string, Found<NatIdentity>>();
  for (const rule of await savedRules(host.exec)) {
    const token = host.instance.parseMarker(markerOf(rule));
    if (token === undefined || found.has(token)) continue;
    const identity = identityOf(rule);
    found.set(token, {
      token,
      description: `iptables -t ${rule.table} ${rule.line}`,
      ...(identity === undefined ? {} : { identity }),
    });
  }
  return [...found.values()];
};

const identityOf = (rule: SavedRule): NatIdentity | undefined => {
  const guard = guardOf(rule);
  // Of the host's global switch a guard does not tell; `false` never switches off what may be another's.
  if (guard !== undefined) return { kind: 'forwarding', device: guard.device, global: false };
  const subject = subjectOf(rule);
  return subject === undefined ? undefined : { kind: 'rules', ...subject };
};

export const natTeardown: Teardown<NatIdentity, never> = { cleanup, reconcile, scan };
