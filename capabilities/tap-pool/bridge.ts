import { makeDevice, runIpBatch, type BatchContext } from './batch.ts';
import type { BridgeIdentity, TapPoolObserved } from './identity.ts';
import { macOf } from './mac.ts';

/** There is one, so its claim's key is fixed. */
export const bridgeKey = 'bridge';

/** And its token; five letters are a tap's. */
export const bridgeToken = 'br';

const addressLine = ({ name, address }: BridgeIdentity): string =>
  `address replace ${address} dev ${name}`;

/**
 * A guest must not be able to make itself the host's IPv6 router by an advertisement, so the bridge
 * has no IPv6 at all. `-e`: a kernel without IPv6 has no such key.
 */
const disableIpv6 = async (name: string, { exec }: BatchContext): Promise<void> => {
  await exec.run('sysctl', ['-e', '-q', '-w', `net/ipv6/conf/${name}/disable_ipv6=1`], {
    privileged: true,
  });
};

/** Spanning tree off: a port forwards at once instead of after two times forward_delay (30 s). */
export const createBridge = async (
  identity: BridgeIdentity,
  marker: string,
  context: BatchContext,
): Promise<TapPoolObserved> => {
  const { name, address } = identity;
  const observed = await makeDevice(
    name,
    [
      `link add name ${name} address ${macOf(address)} type bridge stp_state 0 forward_delay 0`,
      `link set dev ${name} alias ${marker} addrgenmode none`,
      addressLine(identity),
      `link set dev ${name} up`,
    ],
    context,
  );
  await disableIpv6(name, context);
  return observed;
};

/** Puts back what a network manager may have taken off it. */
export const repairBridge = async (
  identity: BridgeIdentity,
  context: BatchContext,
): Promise<void> => {
  await runIpBatch([addressLine(identity), `link set dev ${identity.name} up`], context);
};
