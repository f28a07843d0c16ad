import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { cannotCrash } from './cannot.ts';
import { makeKit } from './kit.ts';
import type { CrashKit } from './place.ts';
import type { CrashCounts } from './run.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder in which each file of the suite leaves its counts. */
    crashCounts: string;
    crashKit: CrashKit;
  }
}

export const saveCounts = (folder: string, name: string, counts: CrashCounts): Promise<void> =>
  writeFile(join(folder, `${name}.json`), JSON.stringify(counts));

/** Vitest's globalSetup: what all files use, and the counts of all of them as one line at the end. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const own = await mkdtemp(join(tmpdir(), 'bgc-suite-'));
  const folder = join(own, 'counts');
  await mkdir(folder);
  project.provide('crashCounts', folder);
  if (cannotCrash === undefined) project.provide('crashKit', await makeKit(join(own, 'kit')));
  return async () => {
    const counts = await Promise.all(
      (await readdir(folder)).map(
        async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CrashCounts,
      ),
    );
    await rm(own, { recursive: true });
    if (counts.length === 0) return;
    const sum = (of: (each: CrashCounts) => number): string =>
      String(counts.reduce((total, each) => total + of(each), 0));
    console.log(
      `${project.name}: ${sum(({ kills }) => kills)} kill points, ${sum((each) => each.failures)} failures injected, ` +
        `${sum(({ leaks }) => leaks.length)} leaks`,
    );
  };
};
