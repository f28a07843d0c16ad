import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { makeStage } from './stage.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The stage's disk, see stage.ts. */
    stageDisk: string;
  }
}

/** Vitest's globalSetup: all files use one stage. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const folder = await mkdtemp(join(tmpdir(), 'bgt-'));
  const disk = join(folder, 'stage.raw');
  // From test/crash/support/totals.ts, which comes before.
  await makeStage(disk, project.getProvidedContext().crashKit);
  project.provide('stageDisk', disk);
  return () => rm(folder, { recursive: true });
};
