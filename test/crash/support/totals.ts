import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { cannotCrash } from './cannot.ts';
import { makeKit } from './kit.ts';
import type { CrashKit } from './place.ts';
import type { CrashCounts } from './run.ts';
import { CrashWorld } from './world.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder in which each file of the suite leaves its counts. */
    crashCounts: string;
    crashKit: CrashKit;
  }
}

export const saveCounts = (folder: string, name: string, counts: CrashCounts): Promise<void> =>
  writeFile(join(folder, `${name}.json`), JSON.stringify(counts));

/**
 * Compiled code of all that a VM takes, where the build has that of a daemon without any: hundreds of daemons compile
 * it no more. These have the flags of one that the CLI starts, so that it is of use to those, too.
 */
const compile = async (kit: CrashKit): Promise<void> => {
  await rm(join(kit.product, 'dist', 'daemon.cache'), { force: true });
  const env = { BANGER_WRITE_CODE_CACHE: '1' };
  await (await CrashWorld.create({ kit, rootfs: 'qcow2', env })).dispose();
};

/** Vitest's globalSetup: what all files use, and the counts of all of them as one line at the end. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const own = await mkdtemp(join(tmpdir(), 'bgc-suite-'));
  const folder = join(own, 'counts');
  await mkdir(folder);
  project.provide('crashCounts', folder);
  if (cannotCrash === undefined) {
    const kit = await makeKit(join(own, 'kit'));
    await compile(kit);
    project.provide('crashKit', kit);
  }
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
