import { readFile } from 'node:fs/promises';
import ipaddr from 'ipaddr.js';

const files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** IPv4 name servers in a resolv.conf. */
export const parseResolvers = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address !== undefined && ipaddr.IPv4.isValid(address) ? [address] : [];
  });

const isReachableFromGuest = (address: string): boolean =>
  ipaddr.IPv4.parse(address).range() !== 'loopback';

/**
 * The host's name servers that a guest can ask: a stub on loopback (systemd-resolved's 127.0.0.53) is
 * none, but its upstreams are.
 */
export const hostResolvers = async (paths: readonly string[] = files): Promise<string[]> => {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    });
    const servers = parseResolvers(text).filter(isReachableFromGuest);
    if (servers.length > 0) return servers;
  }
  return [];
};
