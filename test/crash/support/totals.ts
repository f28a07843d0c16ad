import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import type { CrashCounts } from './run.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder in which each file of the suite leaves its counts. */
    crashCounts: string;
  }
}

export const saveCounts = (folder: string, name: string, counts: CrashCounts): Promise<void> =>
  writeFile(join(folder, `${name}.json`), JSON.stringify(counts));

/** Vitest's globalSetup: the counts of all files, as one line at the end. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const folder = await mkdtemp(join(tmpdir(), 'bgc-counts-'));
  project.provide('crashCounts', folder);
  return async () => {
    const counts = await Promise.all(
      (await readdir(folder)).map(
        async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CrashCounts,
      ),
    );
    await rm(folder, { recursive: true });
    if (counts.length === 0) return;
    const sum = (of: (each: CrashCounts) => number): string =>
      String(counts.reduce((total, each) => total + of(each), 0));
    console.log(
      `${sum(({ kills }) => kills)} kill points, ${sum((each) => each.failures)} failures injected, ` +
        `${sum(({ leaks }) => leaks.length)} leaks`,
    );
  };
};
