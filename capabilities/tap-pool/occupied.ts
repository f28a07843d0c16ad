import { z, type Executor } from '../../core/plugin-api/index.ts';
import type { Link } from './links.ts';
import { hostResolvers } from './resolvers.ts';
import { networkOf, type Occupied } from './subnet.ts';

const shown = z.array(z.object({ dst: z.string(), dev: z.string().optional() }));

/**
 * Shorter prefixes are ways to everywhere, such as the 0.0.0.0/1 and 128.0.0.0/1 by which a VPN
 * overrides the default route without touching it.
 */
const shortestPrefix = 8;

/** The ranges in the output of `ip -j -4 route show table all`. */
export const parseRoutes = (json: string): Occupied[] =>
  shown.parse(JSON.parse(json)).flatMap(({ dst, dev }) => {
    if (dst === 'default') return [];
    const range = dst.includes('/') ? dst : `${dst}/32`;
    if (Number(range.split('/')[1]) < shortestPrefix) return [];
    return [{ range, by: `the route ${dst}${dev === undefined ? '' : ` dev ${dev}`}` }];
  });

/** What the guests' subnet must stay clear of: the host's routes, addresses and resolvers. */
export const listOccupied = async (exec: Executor, links: readonly Link[]): Promise<Occupied[]> => {
  const [{ stdout }, resolvers] = await Promise.all([
    exec.run('ip', ['-j', '-4', 'route', 'show', 'table', 'all']),
    hostResolvers(),
  ]);
  return [
    ...parseRoutes(stdout),
    // A device that is down has an address, but no route yet.
    ...links.flatMap(({ name, addresses }) =>
      addresses.map((address) => ({
        range: networkOf(address),
        by: `the address ${address} of ${name}`,
      })),
    ),
    ...resolvers.map((address) => ({ range: `${address}/32`, by: `the resolver ${address}` })),
  ];
};
