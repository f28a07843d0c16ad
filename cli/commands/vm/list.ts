import type { VmListed } from '../../../core/api/contract/types.ts';
import { formatSize } from '../../../core/size.ts';
import type { Cli } from '../../cli.ts';
import { formatAge } from '../../render/duration.ts';
import { formatPercent, formatShare } from '../../render/figures.ts';
import { printTable } from '../../render/table.ts';

export const listVms = async (cli: Cli): Promise<void> => {
  const { vms } = await cli.client.get<{ vms: VmListed[] }>('/v1/vms');
  if (cli.isJson) {
    cli.json(vms);
    return;
  }
  if (cli.isQuiet) {
    cli.out(vms.map(({ id }) => `${id}\n`).join(''));
    return;
  }
  if (vms.length === 0) {
    cli.say('No VMs yet. Make one: banger vm run');
    return;
  }
  await printTable(
    cli,
    ['NAME', 'STATE', 'IMAGE', 'VCPU', 'CPU', 'MEMORY', 'DISK', 'IP', 'AGE'],
    [
      ...vms.map((vm) => [
        vm.name,
        [vm.state, ...vm.conditions.map(({ kind }) => kind)].join(','),
        vm.image,
        String((vm.current ?? vm).vcpus),
        formatPercent(vm.stats?.cpuPercent),
        vm.stats === null
          ? formatSize((vm.current ?? vm).memoryMib * 1024 ** 2)
          : formatShare(vm.stats.memoryUsedBytes, (vm.current ?? vm).memoryMib * 1024 ** 2),
        formatSize((vm.current ?? vm).diskBytes),
        vm.ip ?? '-',
        formatAge(vm.createdAt),
      ]),
    ],
  );
};
