import Table from 'cli-table3';
import type { BootReport } from './boot.ts';
import type { Summary } from './statistics.ts';

/** One line a row. */
const chars = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };

const print = (title: string, rows: Readonly<Record<string, Summary>>): void => {
  if (Object.keys(rows).length === 0) return;
  const table = new Table({
    head: [title, 'median ms', 'min', 'max', 'n'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    chars,
    style: { head: [], border: [] },
  });
  for (const [name, { median, min, max, count }] of Object.entries(rows))
    table.push([name, ...[median, min, max].map((value) => value.toFixed(1)), count]);
  console.log(table.toString());
};

export const printReport = (report: BootReport): void => {
  const { cpus, load, node } = report.machine;
  console.log(`${report.rounds} rounds, ${cpus} CPUs, load ${load}, Node ${node}`);
  print('whole commands', report.times);
  print('stages', report.stages);
  print('host commands', report.commands);
  const { median, min, max } = report.pairedRatio;
  console.log(`(b)/(a) round by round: median ${median}, from ${min} to ${max}`);
  const table = new Table({
    head: ['target', 'measured', 'at most', ''],
    colAligns: ['left', 'right', 'right', 'left'],
    chars,
    style: { head: [], border: [] },
  });
  for (const { name, value, limit, met } of report.targets)
    table.push([name, value, limit, met ? 'met' : 'MISSED']);
  console.log(table.toString());
};
