import type { ListeningPort } from '../../core/plugin-api/index.ts';
import type { PortsReport } from './contract.ts';
import { speaksHttp } from './http-probe.ts';

type Port = PortsReport['ports'][number];

/** Enough for people; each is a connection at the same time. */
const probesMax = 32;

/** SSH speaks first, and each probe would be a line in the guest's log. */
const knownOther: ReadonlySet<number> = new Set([22]);

/** Of loopback alone: nobody outside gets there. */
const isLoopback = (address: string): boolean =>
  address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.');

/** The sockets of one process on one port as one entry, lowest port first. */
export const merge = (sockets: readonly ListeningPort[]): Port[] => {
  const byKey = new Map<string, Port>();
  for (const { protocol, port, pid, process, address } of sockets) {
    const key = `${protocol} ${String(port)} ${String(pid)} ${process}`;
    const known = byKey.get(key);
    const addresses = [...new Set([...(known?.addresses ?? []), address])];
    byKey.set(key, {
      protocol,
      addresses,
      port,
      pid,
      process,
      reachable: addresses.some((each) => !isLoopback(each)),
      http: null,
      url: null,
      addressUrl: null,
    });
  }
  return [...byKey.values()].sort(
    (a, b) => a.protocol.localeCompare(b.protocol) || a.port - b.port,
  );
};

/** Which of them speak HTTP, and where a browser finds those. */
export const withUrls = async (
  ports: readonly Port[],
  name: string,
  ip: string,
  signal: AbortSignal,
): Promise<Port[]> => {
  const asked = new Set(
    ports
      .filter(({ protocol, reachable }) => protocol === 'tcp' && reachable)
      .map(({ port }) => port)
      .filter((port) => !knownOther.has(port))
      .slice(0, probesMax),
  );
  const answers = new Map(
    await Promise.all(
      [...asked].map(async (port) => [port, await speaksHttp(ip, port, signal)] as const),
    ),
  );
  return ports.map((entry) => {
    const http = entry.protocol === 'tcp' && entry.reachable ? answers.get(entry.port) : undefined;
    if (http !== true) return { ...entry, http: http ?? null };
    const port = String(entry.port);
    return {
      ...entry,
      http,
      url: `http://${name}.vm:${port}`,
      addressUrl: `http://${ip}:${port}`,
    };
  });
};
