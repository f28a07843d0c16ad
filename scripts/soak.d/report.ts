import Table from 'cli-table3';
import { countOf, type DaemonSample } from './daemon-sample.ts';
import type { SoakReport } from './soak.ts';

/** One line a row. */
const chars = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
const style = { head: [], border: [] };

/** At most that many rows of samples. */
const rows = 12;

const print = (head: string[], lines: readonly (string | number)[][]): void => {
  const right = head.map((_, column) => (column === 0 ? 'left' : 'right'));
  const table = new Table({ head, colAligns: right, chars, style });
  table.push(...lines);
  console.log(table.toString());
};

const sampleRows = (samples: readonly DaemonSample[]): (string | number)[][] => {
  const every = Math.ceil(samples.length / rows);
  return samples.flatMap(({ rssMib, descriptors }, index) =>
    (index + 1) % every === 0 || index === 0 || index === samples.length - 1
      ? [[String(index + 1), rssMib.toFixed(1), countOf(descriptors)]]
      : [],
  );
};

export const printReport = (report: SoakReport): void => {
  const { cpus, load, node } = report.machine;
  console.log(
    `${String(report.atOnce)} at once, then ${String(report.cycles)} cycles, in ${String(report.seconds)} s; ` +
      `${String(cpus)} CPUs, load ${load}, Node ${node}`,
  );
  print(
    ['whole commands', 'median ms', 'min', 'max', 'n'],
    Object.entries(report.times).map(([name, { median, min, max, count }]) => [
      name,
      ...[median, min, max].map((value) => value.toFixed(0)),
      count,
    ]),
  );
  print(['after cycle', 'daemon RSS, MiB', 'descriptors'], sampleRows(report.samples));
  const table = new Table({ head: ['check', 'found', ''], chars, style });
  for (const { name, detail, ok } of report.checks)
    table.push([name, detail, ok ? 'ok' : 'FAILED']);
  console.log(table.toString());
};
