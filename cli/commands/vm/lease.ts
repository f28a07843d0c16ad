import type { DaemonClient } from '../../client/daemon-client.ts';

/**
 * Holds a VM that is to live as long as this process: the kernel closes the connection also when we are
 * killed, and the daemon then deletes the VM. @returns lets go
 */
export const holdLease = async (client: DaemonClient, vm: string): Promise<() => void> => {
  const letGo = new AbortController();
  const response = await client.open({
    method: 'GET',
    path: `/v1/vms/${vm}/lease`,
    signal: letGo.signal,
  });
  // A daemon that ends closes it; the next one waits a while for whoever comes back.
  response.on('error', () => undefined).resume();
  return () => {
    letGo.abort();
  };
};
