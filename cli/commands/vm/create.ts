import type { VmDetails } from '../../../core/api/contract/types.ts';
import type { Cli } from '../../cli.ts';
import { usageError } from '../../error.ts';
import { follow, startUndone } from '../../operation/follow.ts';
import { requestVm, type NewVmOptions } from './new-vm.ts';

export interface CreateOptions extends NewVmOptions {
  readonly start: boolean;
}

export const createVm = async (
  cli: Cli,
  word: string | undefined,
  given: CreateOptions,
): Promise<void> => {
  if (word !== undefined && given.name !== undefined && word !== given.name)
    throw usageError(`two names: '${word}' and '${given.name}'`, 'Give one of them.');
  const options = word === undefined ? given : { ...given, name: word };
  const { vm, operation } = await requestVm(cli, options, { start: options.start });
  if (operation !== undefined)
    await follow(cli, operation, { isCancellable: true, afterCancel: startUndone });
  if (cli.isJson) cli.json(await cli.client.get<VmDetails>(`/v1/vms/${vm.id}`));
  else cli.out(`${cli.isQuiet ? vm.id : vm.name}\n`);
};
