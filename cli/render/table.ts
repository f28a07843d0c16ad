import type { Cli } from '../cli.ts';
import { colorsFor } from './colors.ts';
import { plainLine } from './plain-text.ts';

export const printTable = async (
  cli: Cli,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<void> => {
  cli.out(await tableText(cli, head, rows));
};

/** Columns that line up: a table of its own on a terminal, plain text for `awk` elsewhere. */
export const tableText = async (
  cli: Cli,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> => {
  const clean = rows.map((row) => row.map(plainLine));
  return cli.stdoutIsTerminal ? await drawn(cli, head, clean) : aligned(head, clean);
};

const aligned = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
};

const stateColors = {
  running: 'green',
  stopped: 'dim',
  starting: 'yellow',
  stopping: 'yellow',
  deleting: 'yellow',
} as const;

const isState = (cell: string): cell is keyof typeof stateColors => cell in stateColors;

const drawn = async (
  cli: Cli,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> => {
  const { default: Table } = await import('cli-table3');
  const colors = colorsFor(true, cli.env);
  const none = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left']
      .concat(['bottom-right', 'left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
      .map((part) => [part, '']),
  );
  const table = new Table({
    chars: { ...none, middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    head: head.map((title) => colors.bold(title)),
  });
  table.push(...rows.map((row) => row.map((cell) => colored(cell, colors))));
  return `${table.toString()}\n`;
};

const colored = (cell: string, colors: ReturnType<typeof colorsFor>): string =>
  isState(cell) ? colors[stateColors[cell]](cell) : cell;
