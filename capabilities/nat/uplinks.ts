import type { Claims, Executor, Instance } from '../../core/plugin-api/index.ts';
import { defaultUplinks, readForwarding, setForwarding } from './forwarding.ts';
import type { NatIdentity } from './identity.ts';
import { applyRules, savedRules } from './iptables.ts';
import { guardOf, guardRule } from './rules.ts';

interface Options {
  /** Empty: those of the default routes, looked up at each start. */
  readonly configured: readonly string[];
  readonly exec: Executor;
  readonly instance: Instance;
  readonly directory: string;
  /** The daemon's own: an uplink outlives the start that needed it first, also one that is cancelled. */
  readonly claims: Claims<NatIdentity, never>;
  newToken(): string;
}

/**
 * Lets answers in by each uplink: switches forwarding on where it is off, and claims that. Where it is on
 * already, it is claimed only if another daemon's guard says that banger switched it on: whoever of us
 * goes last then switches it off.
 */
export const createForwardUplinks = (options: Options): (() => Promise<void>) => {
  const { configured, exec, claims } = options;
  /** Devices on which someone other than banger has it on: no need to look for guards each time. */
  const notOurs = new Set<string>();

  const forward = async (): Promise<void> => {
    const devices = configured.length > 0 ? configured : await defaultUplinks(exec);
    const forwarding = await readForwarding(exec, devices);
    for (const device of devices) {
      const isOn = forwarding.devices.get(device);
      const held = claims
        .list({ scope: 'host' })
        .find(({ identity }) => identity.kind === 'forwarding' && identity.device === device);
      if (isOn === undefined) continue;
      if (!isOn) notOurs.delete(device);
      if (isOn && (held !== undefined || notOurs.has(device))) continue;
      // Someone has switched it off since: begin again.
      if (held !== undefined) await claims.release(held);
      if (isOn && (forwarding.isGlobal || !(await hasGuard(device, exec)))) notOurs.add(device);
      else await claimForwarding(device, forwarding.isGlobal, options);
    }
  };

  let flight: Promise<void> | undefined;
  return () => (flight ??= forward().finally(() => (flight = undefined)));
};

const hasGuard = async (device: string, exec: Executor): Promise<boolean> =>
  (await savedRules(exec)).some((rule) => guardOf(rule)?.device === device);

const claimForwarding = async (
  device: string,
  isGlobal: boolean,
  { exec, instance, directory, claims, newToken }: Options,
): Promise<void> => {
  const token = newToken();
  await claims.ensure(
    {
      key: `forwarding:${device}`,
      scope: 'host',
      token,
      identity: { kind: 'forwarding', device, global: isGlobal },
    },
    async () => {
      // The guard first: the host is never an open router, and another daemon that stops now sees us.
      const marker = instance.marker(token);
      await applyRules([guardRule(device, marker)], { exec, directory, token });
      await setForwarding(exec, device, true);
      return { value: undefined };
    },
  );
};
