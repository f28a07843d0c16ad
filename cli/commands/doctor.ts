import type { DoctorReport } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { exitCodes } from '../error.ts';
import { colorsFor } from '../render/colors.ts';
import { plainLine } from '../render/plain-text.ts';

export const doctor = async (cli: Cli): Promise<void> => {
  const report = await cli.client.get<DoctorReport>('/v1/doctor');
  if (cli.isJson) cli.json(report);
  else cli.out(describe(cli, report));
  cli.exitCode = report.ok ? 0 : exitCodes.unhealthy;
};

const describe = (cli: Cli, { checks }: DoctorReport): string => {
  const colors = colorsFor(cli.stdoutIsTerminal, cli.env);
  const marks = {
    ok: colors.green('ok'),
    warning: colors.yellow('warn'),
    error: colors.red('fail'),
  };
  const widths = { ok: 2, warning: 4, error: 4 };
  const shown = cli.isQuiet ? checks.filter(({ status }) => status !== 'ok') : checks;
  const lines = shown.flatMap(({ capability, status, title, detail, remedy }) => [
    `${marks[status]}${' '.repeat(6 - widths[status])}${capability}: ${plainLine(title)}` +
      (detail === '' ? '' : ` ${colors.dim(`(${plainLine(detail)})`)}`),
    ...(remedy === undefined || status === 'ok' ? [] : [`      ${plainLine(remedy)}`]),
  ]);
  const count = (status: 'error' | 'warning'): number =>
    checks.filter((check) => check.status === status).length;
  const verdict =
    count('error') + count('warning') === 0
      ? 'All is well.'
      : `${plural(count('error'), 'error')}, ${plural(count('warning'), 'warning')}.`;
  return [...lines, verdict, ''].join('\n');
};

const plural = (count: number, noun: string): string =>
  `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
