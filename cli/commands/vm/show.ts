import type { VmDetails } from '../../../core/api/contract/types.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { formatAge } from '../../render/duration.ts';
import { fields } from '../../render/fields.ts';
import { formatFigures } from '../../render/figures.ts';
import { formatSpec, pendingChanges } from '../../render/spec.ts';

export const showVm = async (cli: Cli, name: string): Promise<void> => {
  const vm = await cli.client.get<VmDetails>(`/v1/vms/${checkVmName(name)}`);
  if (cli.isJson) cli.json(vm);
  else if (cli.isQuiet) cli.out(`${vm.id}\n`);
  else cli.out(described(vm));
};

const described = (vm: VmDetails): string =>
  fields([
    ['name', vm.name],
    ['id', vm.id],
    ['state', vm.state + (vm.ephemeral ? ' (deleted when its client ends)' : '')],
    ...vm.conditions.map(({ kind, detail }) => [kind, detail] as const),
    ['spec', formatSpec(vm.current ?? vm)],
    ['next start', pendingChanges(vm).join(' · ') || null],
    ['image', vm.image],
    ['ip', vm.ip],
    ['vmm', vm.vmm === null || vm.pid === null ? vm.vmm : `${vm.vmm} (pid ${String(vm.pid)})`],
    ['figures', vm.stats === null ? null : formatFigures(vm.stats)],
    ['created', ago(vm.createdAt)],
    ['started', ago(vm.startedAt)],
    ['operation', vm.operationId],
    ['last error', vm.lastError?.message],
    ['remedy', vm.lastError?.remedy],
    ...Object.entries(vm.logs).map(([log, path]) => [`${log} log`, path] as const),
    ...Object.entries(vm.capabilities).flatMap(([capability, facts]) =>
      Object.entries(facts).map(
        ([key, value]) =>
          [
            `${capability} ${key}`,
            typeof value === 'string' ? value : JSON.stringify(value),
          ] as const,
      ),
    ),
  ]);

const ago = (iso: string | null): string | null =>
  iso === null ? null : `${iso} (${formatAge(iso)} ago)`;
