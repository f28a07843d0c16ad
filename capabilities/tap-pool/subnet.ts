import ipaddr from 'ipaddr.js';
import { BangerError } from '../../core/plugin-api/index.ts';

/** An IPv4 subnet, `10.71.5.0/24`. */
export interface Subnet {
  readonly cidr: string;
  readonly network: number;
  readonly prefixLength: number;
}

export const toNumber = (address: string): number =>
  ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);

export const toAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => String(Math.floor(value / 2 ** shift) % 256)).join('.');

/** @throws BangerError CONFIG_INVALID for what is no IPv4 network with room for guests */
export const parseSubnet = (cidr: string): Subnet => {
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(cidr);
  const prefixLength = Number(match?.[2]);
  const address = match?.[1] ?? '';
  if (!ipaddr.IPv4.isValid(address) || prefixLength < 16 || prefixLength > 29) {
    throw new BangerError(
      'CONFIG_INVALID',
      `tap-pool.subnet: '${cidr}' is not an IPv4 network from /16 to /29, such as "10.71.5.0/24"`,
    );
  }
  const size = 2 ** (32 - prefixLength);
  const network = Math.floor(toNumber(address) / size) * size;
  return { cidr: `${toAddress(network)}/${String(prefixLength)}`, network, prefixLength };
};

/** The first host address is the gateway's, the last but the broadcast may be a guest's. */
export const gatewayOf = ({ network }: Subnet): string => toAddress(network + 1);

export const guestAddresses = function* ({ network, prefixLength }: Subnet): Generator<string> {
  const last = network + 2 ** (32 - prefixLength) - 2;
  for (let address = network + 2; address <= last; address++) yield toAddress(address);
};

export const overlaps = (a: Subnet, b: Subnet): boolean => {
  const size = (subnet: Subnet): number => 2 ** (32 - subnet.prefixLength);
  return a.network < b.network + size(b) && b.network < a.network + size(a);
};

/** Any prefix length, host bits allowed: how `ip route` and resolv.conf speak. */
export const occupied = (text: string): Subnet | undefined => {
  const [address = '', length = '32'] = text.split('/');
  const prefixLength = Number(length);
  if (!ipaddr.IPv4.isValid(address) || !(prefixLength >= 0 && prefixLength <= 32)) return undefined;
  const size = 2 ** (32 - prefixLength);
  return { cidr: text, network: Math.floor(toNumber(address) / size) * size, prefixLength };
};

/**
 * Candidates for `auto`: /24s of 10.64.0.0/10, which few use, begun at a place of this instance's own, so
 * that two daemons rarely want the same one even before either has a route.
 */
export const candidates = function* (seed: number): Generator<Subnet> {
  const count = 64 * 256;
  for (let step = 0; step < count; step++) {
    const index = (seed + step) % count;
    yield parseSubnet(`10.${String(64 + Math.floor(index / 256))}.${String(index % 256)}.0/24`);
  }
};

/** @throws BangerError NETWORK_UNAVAILABLE when each candidate collides */
export const chooseSubnet = (seed: number, taken: readonly Subnet[]): Subnet => {
  for (const candidate of candidates(seed)) {
    if (!taken.some((other) => overlaps(candidate, other))) return candidate;
  }
  throw new BangerError('NETWORK_UNAVAILABLE', 'no /24 of 10.64.0.0/10 is free for guests', {
    remedy: 'Name a free network in config.toml: [tap-pool] subnet = "192.168.77.0/24".',
  });
};
