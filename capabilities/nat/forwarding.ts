import { z, type Executor } from '../../core/plugin-api/index.ts';

/** With slashes, because a device's name may have dots: sysctl(8). */
const key = (device: string): string => `net/ipv4/conf/${device}/forwarding`;

export const isForwarding = async (
  exec: Executor,
  device: string,
): Promise<boolean | undefined> => {
  const { exitCode, stdout } = await exec.run('sysctl', ['-n', key(device)], {
    okCodes: [0, 1, 255],
  });
  return exitCode === 0 ? stdout.trim() === '1' : undefined;
};

/**
 * Per device, on the bridge and the uplinks: what the kernel asks is the device that a packet came in by, so
 * the host's global switch can stay as it is.
 */
export const setForwarding = async (
  exec: Executor,
  devices: readonly string[],
  on: boolean,
): Promise<void> => {
  await exec.run(
    'sysctl',
    ['-q', '-w', ...devices.map((device) => `${key(device)}=${on ? '1' : '0'}`)],
    { privileged: true },
  );
};

/** Devices of the host's IPv4 default routes. */
export const uplinks = async (exec: Executor): Promise<string[]> => {
  const { stdout } = await exec.run('ip', ['-j', '-4', 'route', 'show', 'default']);
  const routes = z
    .array(z.object({ dev: z.string().optional() }))
    .parse(stdout.trim() === '' ? [] : JSON.parse(stdout));
  return [...new Set(routes.flatMap(({ dev }) => (dev === undefined ? [] : [dev])))];
};
