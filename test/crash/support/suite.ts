import { afterAll, expect, inject, it } from 'vitest';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';
import { crashActions, type CrashAction } from './actions.ts';
import type { Point } from './points.ts';
import { CrashRun } from './run.ts';
import { saveCounts } from './totals.ts';
import type { CrashWorldOptions } from './world.ts';

/** What no machine without root, a C compiler and the network's tools can do. */
export const cannotCrash = firstOf(
  needsRoot(),
  needsTools('cc', 'ip', 'iptables-save', 'iptables-restore', 'qemu-img', 'ssh-keygen'),
);

/** Every point of every action, each once, on one root disk driver. */
export const describeEveryPoint = (
  title: string,
  options: CrashWorldOptions,
  at: (run: CrashRun, action: CrashAction, point: Point) => Promise<void>,
  why = cannotCrash,
): void => {
  describeUnless(why, title, () => {
    const run = new CrashRun(options);
    afterAll(async () => {
      await run.dispose();
      await saveCounts(inject('crashCounts'), title.replaceAll(/\W+/g, '-'), run.counts);
    });
    it.each(crashActions.map((action) => ({ action, name: action.name })))(
      '$name',
      async ({ action }) => {
        const before = run.counts.leaks.length;
        const points = await run.points(action);
        expect(points).not.toEqual([]);
        for (const point of points) await at(run, action, point);
        expect(run.counts.leaks.slice(before)).toEqual([]);
      },
    );
  });
};
