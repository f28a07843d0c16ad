import type { Accepted, CreateVm, VmSummary } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { formatSpec } from '../../render/spec.ts';

/** What `vm create` and `vm run` have in common. */
export interface NewVmOptions {
  readonly name?: string | undefined;
  readonly image?: string | undefined;
  readonly vcpu?: number | undefined;
  /** MiB. */
  readonly memory?: number | undefined;
  /** Bytes. */
  readonly diskSize?: number | undefined;
  /** False: no way out. */
  readonly nat?: boolean | undefined;
}

interface NewVm {
  readonly vm: VmSummary;
  /** Absent where the VM is only recorded. */
  readonly operation?: Accepted['operation'];
}

/** Asks for a VM and says what it gets. */
export const requestVm = async (
  cli: Cli,
  options: NewVmOptions,
  extra: Pick<CreateVm, 'ephemeral' | 'start'>,
): Promise<NewVm> => {
  const { name, image, vcpu, memory, diskSize, nat } = options;
  if (name !== undefined && name !== '') checkVmName(name);
  const body: CreateVm = {
    ...extra,
    ...(name === undefined ? {} : { name }),
    ...(image === undefined ? {} : { image }),
    ...(vcpu === undefined ? {} : { vcpus: vcpu }),
    ...(memory === undefined ? {} : { memoryMib: memory }),
    ...(diskSize === undefined ? {} : { diskBytes: diskSize }),
    ...(nat === false ? { nat } : {}),
  };
  const created = await cli.client.post<NewVm>('/v1/vms', body);
  if (!cli.isQuiet && !cli.isJson) cli.say(`spec: ${formatSpec(created.vm)}`);
  return created;
};
