import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from '../../core/host/executor.ts';

export interface FuzzOptions {
  readonly exec: Executor;
  readonly signal?: AbortSignal;
  readonly seconds: number;
  /** Folder that gets the inputs which led on; what is in there already is begun with. */
  readonly corpus: string;
  /** Folders that are only read. */
  readonly seeds?: readonly string[];
  /** Gets a file for the input that failed. */
  readonly found: string;
}

export interface FuzzResult {
  readonly target: string;
  readonly executions: number;
  readonly perSecond: number;
  /** Edges of the program that were reached. */
  readonly coverage: number;
  /** Where an input failed: its file, and what was said of it. */
  readonly failure: { readonly path: string | undefined; readonly report: string } | undefined;
}

/** An input that takes longer is a failure, seconds. The slowest takes milliseconds. */
const inputTimeout = 10;
/** A report is some 100 lines. */
const reportLines = 300;

const last = (lines: readonly string[], pattern: RegExp): string | undefined =>
  lines.map((line) => pattern.exec(line)?.[1]).findLast((match) => match !== undefined);

/** Runs one target until the time is over or an input fails. */
export const runTarget = async (
  target: string,
  binary: string,
  { exec, signal, seconds, corpus, seeds = [], found }: FuzzOptions,
): Promise<FuzzResult> => {
  await Promise.all([corpus, found].map((folder) => mkdir(folder, { recursive: true })));
  const lines: string[] = [];
  const { exitCode } = await exec.run(
    binary,
    [
      `-max_total_time=${String(seconds)}`,
      `-timeout=${String(inputTimeout)}`,
      '-print_final_stats=1',
      `-artifact_prefix=${join(found, '/')}`,
      corpus,
      ...seeds,
    ],
    {
      // libFuzzer ends between two inputs.
      timeoutMs: (seconds + 2 * inputTimeout + 60) * 1000,
      okCodes: Array.from({ length: 256 }, (_, code) => code),
      ...(signal === undefined ? {} : { signal }),
      onLine: (line) => {
        lines.push(line);
        if (lines.length > 2 * reportLines) lines.splice(0, reportLines);
      },
    },
  );
  return {
    target,
    executions: Number(last(lines, /^stat::number_of_executed_units: +(\d+)/) ?? 0),
    perSecond: Number(last(lines, /^stat::average_exec_per_sec: +(\d+)/) ?? 0),
    coverage: Number(last(lines, / cov: (\d+) /) ?? 0),
    failure:
      exitCode === 0
        ? undefined
        : {
            path: last(lines, /Test unit written to (\S+)/),
            report: lines.slice(-reportLines).join('\n'),
          },
  };
};

export const describeResult = ({ target, executions, perSecond, coverage }: FuzzResult): string =>
  `${target}: ${String(executions)} executions, ${String(perSecond)} a second, ${String(coverage)} edges`;
