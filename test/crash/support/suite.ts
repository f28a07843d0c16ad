import { afterAll, expect, inject, it } from 'vitest';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';
import { crashActions, type CrashAction } from './actions.ts';
import type { Point } from './points.ts';
import { CrashRun } from './run.ts';
import { saveCounts } from './totals.ts';
import type { CrashWorldOptions } from './place.ts';

/** What no machine without root, a C compiler and the network's tools can do. */
export const cannotCrash = firstOf(
  needsRoot(),
  needsTools(
    'cc',
    'ip',
    'iptables-save',
    'iptables-restore',
    'mkfs.ext4',
    'qemu-img',
    'ssh-keygen',
  ),
);

/** Every point of every action, each once, on one root disk driver. */
export const describeEveryPoint = (
  title: string,
  options: CrashWorldOptions,
  at: (run: CrashRun, action: CrashAction, point: Point) => Promise<void>,
  actions: readonly CrashAction[] = crashActions,
): void => {
  describeUnless(cannotCrash, title, () => {
    const run = new CrashRun(options);
    const done = new Map<string, readonly Point[]>();
    afterAll(async () => {
      await run.dispose();
      await saveCounts(inject('crashCounts'), title.replaceAll(/\W+/g, '-'), run.counts);
    });
    it.each(actions.map((action) => ({ action, name: action.name })))(
      '$name',
      async ({ action }) => {
        const before = run.counts.leaks.length;
        const points = await run.points(action);
        const elsewhere = done.get(action.beyond ?? '') ?? [];
        const own = points.filter(
          ({ name, nth }) => !elsewhere.some((other) => other.name === name && other.nth === nth),
        );
        done.set(action.name, points);
        expect(own).not.toEqual([]);
        for (const point of own) await at(run, action, point);
        expect(run.counts.leaks.slice(before)).toEqual([]);
      },
    );
  });
};
