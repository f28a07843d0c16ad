import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';

/** resolv.conf(5); the second is where systemd-resolved lists the servers behind its stub. */
const files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** glibc's MAXNS: no resolver reads more. */
const maxServers = 3;

/** The servers of a resolv.conf, in order; a scope (`fe80::1%eth0`) stays on. */
export const parseResolvConf = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address === undefined ? [] : [address];
  });

/** A guest has IPv4 only, and its own loopback is not the host's. */
const isReachable = (address: string): boolean => isIPv4(address) && !address.startsWith('127.');

const read = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
};

/** The host's resolvers that a guest can reach: of the first file that has any. */
export const hostResolvers = async (paths: readonly string[] = files): Promise<string[]> => {
  for (const path of paths) {
    const reachable = parseResolvConf(await read(path)).filter(isReachable);
    if (reachable.length > 0) return reachable.slice(0, maxServers);
  }
  return [];
};
