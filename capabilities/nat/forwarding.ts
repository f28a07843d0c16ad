import { z, type Executor } from '../../core/plugin-api/index.ts';

const globalKey = 'net/ipv4/ip_forward';

/** With slashes, because a device's name may have dots: sysctl(8). */
const keyOf = (device: string): string => `net/ipv4/conf/${device}/forwarding`;

export interface Forwarding {
  readonly isGlobal: boolean;
  /** By device; one that is not there is not in it. */
  readonly devices: ReadonlyMap<string, boolean>;
}

/** Lines such as `net.ipv4.conf.eth0/100.forwarding = 1`: in the output dots and slashes are swapped. */
export const parseForwarding = (text: string): Forwarding => {
  let isGlobal = false;
  const devices = new Map<string, boolean>();
  for (const line of text.split('\n')) {
    const [, key = '', value] = /^net\.ipv4\.(\S+) = (\d+)$/.exec(line) ?? [];
    const device = /^conf\.(.+)\.forwarding$/.exec(key)?.[1];
    if (key === 'ip_forward') isGlobal = value !== '0';
    else if (device !== undefined) devices.set(device.replaceAll('/', '.'), value !== '0');
  }
  return { isGlobal, devices };
};

/** `-e`: a device that is not there is no error. */
export const readForwarding = async (
  exec: Executor,
  devices: readonly string[],
): Promise<Forwarding> => {
  const { stdout } = await exec.run('sysctl', ['-e', globalKey, ...devices.map(keyOf)]);
  return parseForwarding(stdout);
};

/**
 * Per device, on the bridge and the uplinks: what the kernel asks is the device that a packet came in by, so
 * the host's global switch can stay as it is.
 */
export const setForwarding = async (exec: Executor, device: string, on: boolean): Promise<void> => {
  await exec.run('sysctl', ['-q', '-w', `${keyOf(device)}=${on ? '1' : '0'}`], {
    privileged: true,
  });
};

/** Devices of the host's IPv4 default routes. */
export const defaultUplinks = async (exec: Executor): Promise<string[]> => {
  const { stdout } = await exec.run('ip', ['-j', '-4', 'route', 'show', 'default']);
  return parseDefaultRoutes(stdout);
};

const hop = z.object({ dev: z.string().optional() });
/** A route over several devices has none of its own, but next hops. */
const routes = z.array(hop.extend({ nexthops: z.array(hop).default([]) }));

/** The devices in the output of `ip -j -4 route show default`, each once. */
export const parseDefaultRoutes = (json: string): string[] => {
  const hops = routes
    .parse(json.trim() === '' ? [] : JSON.parse(json))
    .flatMap(({ dev, nexthops }) => [{ dev }, ...nexthops]);
  return [...new Set(hops.flatMap(({ dev }) => (dev === undefined ? [] : [dev])))];
};
