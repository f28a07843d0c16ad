import { createHash } from 'node:crypto';
import ipaddr from 'ipaddr.js';

/** A range that guests must stay clear of, and what has it, for the message. */
export interface Occupied {
  readonly range: string;
  readonly by: string;
}

type Range = [network: ipaddr.IPv4, prefixLength: number];

const rangeOf = (text: string): Range => ipaddr.IPv4.parseCIDR(text);

const numberOf = (address: ipaddr.IPv4): number =>
  address.toByteArray().reduce((sum, octet) => sum * 256 + octet, 0);

const textOf = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

/** Fewer than five guests, or more than 65,533, are surely a slip. */
const allowedPrefix = { shortest: 16, longest: 29 };

/** Whether a text is an IPv4 network such as `10.64.3.0/24`, its host bits zero. */
export const isSubnet = (text: string): boolean => {
  if (!ipaddr.IPv4.isValidCIDRFourPartDecimal(text)) return false;
  const [network, prefixLength] = rangeOf(text);
  return (
    prefixLength >= allowedPrefix.shortest &&
    prefixLength <= allowedPrefix.longest &&
    ipaddr.IPv4.networkAddressFromCIDR(text).toString() === network.toString()
  );
};

export const overlap = (one: string, other: string): boolean => {
  const [[a, aLength], [b, bLength]] = [rangeOf(one), rangeOf(other)];
  return a.match(b, Math.min(aLength, bLength));
};

/** `10.64.3.0/24` of `10.64.3.1/24`. */
export const networkOf = (addressWithPrefix: string): string =>
  `${ipaddr.IPv4.networkAddressFromCIDR(addressWithPrefix).toString()}/${String(prefixLengthOf(addressWithPrefix))}`;

export const prefixLengthOf = (subnet: string): number => rangeOf(subnet)[1];

/** The first address is the bridge's. */
export const gatewayOf = (subnet: string): string => textOf(numberOf(rangeOf(subnet)[0]) + 1);

export const gatewayWithPrefix = (subnet: string): string =>
  `${gatewayOf(subnet)}/${String(prefixLengthOf(subnet))}`;

/** All that a guest may have: not the network's, the gateway's or the broadcast address. */
export const guestAddresses = function* (subnet: string): Generator<string> {
  const [network, prefixLength] = rangeOf(subnet);
  const first = numberOf(network);
  for (let offset = 2; offset < 2 ** (32 - prefixLength) - 1; offset++)
    yield textOf(first + offset);
};

/** /24s out of RFC 1918, those that are seldom in use first. */
const pools = ['10.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'];
const candidateLength = 24;

/** In an order of each instance's own, so that two daemons seldom meet. */
export const candidates = function* (instanceToken: string): Generator<string> {
  const hash = createHash('sha256').update(instanceToken).digest().readUInt32BE();
  for (const pool of pools) {
    const [network, prefixLength] = rangeOf(pool);
    const count = 2 ** (candidateLength - prefixLength);
    for (let index = 0; index < count; index++) {
      const start = numberOf(network) + ((hash + index) % count) * 256;
      yield `${textOf(start)}/${String(candidateLength)}`;
    }
  }
};

export const collisionOf = (subnet: string, occupied: readonly Occupied[]): Occupied | undefined =>
  occupied.find(({ range }) => overlap(subnet, range));

/** The instance's first candidate that is free, or undefined where none is. */
export const chooseSubnet = (
  instanceToken: string,
  occupied: readonly Occupied[],
): string | undefined => {
  for (const candidate of candidates(instanceToken))
    if (collisionOf(candidate, occupied) === undefined) return candidate;
  return undefined;
};
