import { afterAll, expect, inject, it } from 'vitest';
import { describeUnless, firstOf, needsTools } from '../support/skip.ts';
import { crashActions } from './support/actions.ts';
import { killPhases } from './support/points.ts';
import { CrashRun } from './support/run.ts';
import { cannotCrash } from './support/cannot.ts';
import { saveCounts } from './support/totals.ts';

/** Of each action's points so many, evenly apart: the stub has been through all of them. */
const pointsEach = 4;

describeUnless(
  firstOf(cannotCrash, needsTools('qemu-system-x86_64')),
  'a daemon that is killed while guests run',
  () => {
    const run = new CrashRun({ kit: inject('crashKit'), rootfs: 'qcow2', guests: true });
    afterAll(async () => {
      await run.dispose();
      await saveCounts(inject('crashCounts'), 'guests', run.counts);
    });
    it.each(['create', 'stop', 'delete --force'])('%s', async (name) => {
      const action = crashActions.find((each) => each.name === name);
      if (action === undefined) throw new Error(`no action ${name}`);
      const before = run.counts.leaks.length;
      const points = await run.points(action);
      expect(points.length).toBeGreaterThanOrEqual(pointsEach);
      for (let index = 0; index < pointsEach; index++) {
        const point = points[Math.floor(((index + 0.5) * points.length) / pointsEach)];
        const phase = killPhases[index % killPhases.length];
        if (point !== undefined && phase !== undefined) await run.killAt(action, point, [phase]);
      }
      expect(run.counts.leaks.slice(before)).toEqual([]);
    });
  },
);
