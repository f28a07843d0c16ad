import type { Accepted, SetVm, VmDetails } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { usageError } from '../../error.ts';
import { follow } from '../../operation/follow.ts';
import { formatSpec, pendingChanges } from '../../render/spec.ts';

interface SetOptions {
  readonly vcpu?: number | undefined;
  /** MiB. */
  readonly memory?: number | undefined;
  /** Bytes. */
  readonly diskSize?: number | undefined;
  readonly nat?: boolean | undefined;
}

/** Says what has changed, and what will at the next start. */
export const setVm = async (cli: Cli, name: string, options: SetOptions): Promise<void> => {
  const path = `/v1/vms/${checkVmName(name)}`;
  const { vcpu, memory, diskSize, nat } = options;
  const change: SetVm = {
    ...(vcpu === undefined ? {} : { vcpus: vcpu }),
    ...(memory === undefined ? {} : { memoryMib: memory }),
    ...(diskSize === undefined ? {} : { diskBytes: diskSize }),
    ...(nat === undefined ? {} : { nat }),
  };
  if (Object.keys(change).length === 0)
    throw usageError('there is nothing to change', 'Give --vcpu, --memory, --disk-size or --nat.');
  const { operation } = await cli.client.patch<Accepted>(path, change);
  await follow(cli, operation);
  const vm = await cli.client.get<VmDetails>(path);
  if (cli.isJson) cli.json(vm);
  if (cli.isJson || cli.isQuiet) return;
  cli.say(`${name} has ${formatSpec(vm.current ?? vm)}`);
  const pending = pendingChanges(vm);
  if (pending.length > 0)
    cli.say(`at its next start: ${pending.join(' · ')}; now: banger vm restart ${name}`);
};
