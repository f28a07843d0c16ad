import type { LeakReport } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { exitCodes } from '../error.ts';
import { plainLine } from '../render/plain-text.ts';

/** `doctor --leaks`: what the daemon's ledger and the host disagree about. */
export const leaks = async (cli: Cli, options: { readonly fix: boolean }): Promise<void> => {
  const report = options.fix
    ? await cli.client.post<LeakReport>('/v1/leaks/fix')
    : await cli.client.get<LeakReport>('/v1/leaks');
  if (cli.isJson) cli.json(report);
  else cli.out(describe(report));
  cli.exitCode = report.ok ? 0 : exitCodes.unhealthy;
};

const describe = ({ leaks: found }: LeakReport): string =>
  found.length === 0
    ? 'Nothing leaks.\n'
    : found
        .map(
          ({ fixed, capability, what, vm, detail }) =>
            `${fixed ? 'fixed' : 'leak '} ${capability}: ${plainLine(what)}` +
            `${vm === null ? '' : ` (VM ${vm})`}\n      ${plainLine(detail)}\n`,
        )
        .join('');
