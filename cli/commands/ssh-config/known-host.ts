import type { Cli } from '../../cli.ts';
import { placeOf } from './place.ts';

/** For KnownHostsCommand: the one key that the VM has had from its first start on. */
export const knownHost = async (cli: Cli, host: string): Promise<void> => {
  const { hostKey } = await placeOf(cli, host);
  cli.out(`${host} ${hostKey}\n`);
};
