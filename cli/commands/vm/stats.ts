import { setTimeout as delay } from 'node:timers/promises';
import type { StatsReport } from '../../../capabilities/stats/contract.ts';
import { formatSize } from '../../../core/size.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { exitCodes } from '../../error.ts';
import { untilInterrupted } from '../../interrupt.ts';
import { formatDisks, formatPercent, formatShare } from '../../render/figures.ts';
import { formatSpan } from '../../render/duration.ts';
import { tableText } from '../../render/table.ts';

export interface StatsOptions {
  readonly watch?: boolean | undefined;
}

const watchMs = 2_000;

/** ECMA-48: the cursor to the top left, and what is behind it away. */
const clearScreen = '\u001b[H\u001b[J';

export const showStats = async (
  cli: Cli,
  name: string | undefined,
  options: StatsOptions,
): Promise<void> => {
  const input = name === undefined ? {} : { vm: checkVmName(name) };
  const look = (): Promise<StatsReport> => cli.client.post<StatsReport>('/v1/x/stats/now', input);
  if (options.watch !== true) {
    const report = await look();
    await print(cli, report, '');
    // What was asked for by name and cannot be told is a failure.
    if (name !== undefined && report.vms.some(({ error }) => error !== null))
      cli.exitCode = exitCodes.unhealthy;
    return;
  }
  const before = cli.stdoutIsTerminal ? clearScreen : '';
  await untilInterrupted(cli, async (signal) => {
    for (;;) {
      await print(cli, await look(), before);
      await delay(watchMs, undefined, { signal });
    }
  });
};

/** In one write, so that a screen that is drawn anew does not flicker. */
const print = async (cli: Cli, { vms }: StatsReport, before: string): Promise<void> => {
  if (cli.isJson) {
    cli.json(vms);
    return;
  }
  if (vms.length === 0) {
    if (before !== '') cli.out(before);
    cli.say('No VM runs.');
    return;
  }
  cli.out(before + (await tableText(cli, head, vms.map(row))));
};

const head = [
  'NAME',
  'CPU',
  'LOAD',
  'MEMORY',
  'DISKS',
  'PROCS',
  'CONNS',
  'UP',
  'HOST CPU',
  'HOST MEM',
];

const row = ({ name, stats, error }: StatsReport['vms'][number]): string[] =>
  stats === null
    ? [name, '-', '-', '-', error ?? 'nothing is known yet', '-', '-', '-', '-', '-']
    : [
        name,
        `${formatPercent(stats.cpuPercent)} of ${String(stats.vcpus)}`,
        stats.load.map((each) => each.toFixed(2)).join(' '),
        formatShare(stats.memoryUsedBytes, stats.memoryTotalBytes),
        formatDisks(stats.filesystems),
        String(stats.processes),
        String(stats.connections),
        formatSpan(stats.uptimeSeconds),
        formatPercent(stats.host?.cpuPercent),
        stats.host === null ? '-' : formatSize(stats.host.memoryBytes),
      ];
