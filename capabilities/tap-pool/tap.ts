import { makeDevice, runIpBatch, type BatchContext } from './batch.ts';
import type { TapIdentity, TapPoolObserved } from './identity.ts';

const attachLine = ({ name, bridge }: TapIdentity): string =>
  `link set dev ${name} master ${bridge} up`;

/**
 * A persistent tap that user `uid` may open, so that the VMM runs without privilege. `vnet_hdr`: the VMM
 * and the kernel pass checksum and segmentation offload to each other.
 */
export const createTap = (
  identity: TapIdentity,
  marker: string,
  uid: number,
  context: BatchContext,
  signal: AbortSignal,
): Promise<TapPoolObserved> =>
  makeDevice(
    identity.name,
    [
      `tuntap add dev ${identity.name} mode tap user ${String(uid)} vnet_hdr`,
      `link set dev ${identity.name} alias ${marker} addrgenmode none`,
      attachLine(identity),
    ],
    context,
    signal,
  );

export const attachTap = async (identity: TapIdentity, context: BatchContext): Promise<void> => {
  await runIpBatch([attachLine(identity)], context);
};
