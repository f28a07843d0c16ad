import { afterAll, expect, inject, it } from 'vitest';
import { describeUnless } from '../../support/skip.ts';
import { crashActions, type CrashAction } from './actions.ts';
import { cannotCrash } from './cannot.ts';
import type { Point } from './points.ts';
import { CrashRun } from './run.ts';
import { saveCounts } from './totals.ts';
import type { CrashWorldOptions } from './place.ts';

/** Every point of every action, each once, on one root disk driver. */
export const describeEveryPoint = (
  title: string,
  options: Omit<CrashWorldOptions, 'kit'>,
  at: (run: CrashRun, action: CrashAction, point: Point) => Promise<void>,
  actions: readonly CrashAction[] = crashActions,
): void => {
  describeUnless(cannotCrash, title, () => {
    const run = new CrashRun({ ...options, kit: inject('crashKit') });
    afterAll(async () => {
      await run.dispose();
      await saveCounts(inject('crashCounts'), title.replaceAll(/\W+/g, '-'), run.counts);
    });
    it.each(actions.map((action) => ({ action, name: action.name })))(
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
