import type { SshPlace } from '../../../capabilities/ssh/contract.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';

/** `web.vm`, or as known_hosts has it with another port: `[web.vm]:2222`. */
export const vmNameOf = (host: string): string => {
  const name = /^\[(.*)\]:\d+$/.exec(host)?.[1] ?? host;
  return checkVmName(name.replace(/\.vm$/, ''));
};

export const placeOf = (cli: Cli, host: string): Promise<SshPlace> =>
  cli.client.post<SshPlace>('/v1/x/ssh/locate', { vm: vmNameOf(host) });
