import type { KernelInfo } from '../../../capabilities/kernels/contract.ts';
import { formatSize } from '../../../core/size.ts';
import type { Cli } from '../../cli.ts';
import { formatAge } from '../../render/duration.ts';
import { printTable } from '../../render/table.ts';
import { runAction } from '../action.ts';

export const listKernels = async (cli: Cli): Promise<void> => {
  const { kernels } = (await runAction(cli, 'kernels', 'list', {})) as { kernels: KernelInfo[] };
  if (cli.isJson) cli.json(kernels);
  else if (cli.isQuiet) cli.out(kernels.map(({ id, name }) => `${id ?? name}\n`).join(''));
  else
    await printTable(
      cli,
      ['NAME', 'ID', 'RELEASE', 'SIZE', 'FETCHED'],
      kernels.map((kernel) => [
        kernel.name,
        kernel.id?.slice(0, 12) ?? '-',
        kernel.release ?? '-',
        kernel.bytes === null ? '-' : formatSize(kernel.bytes),
        kernel.createdAt === null ? 'not yet' : formatAge(kernel.createdAt),
      ]),
    );
};
