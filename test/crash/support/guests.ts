import { afterAll, expect, inject, it } from 'vitest';
import { describeUnless, firstOf, needsTools } from '../../support/skip.ts';
import { crashActions } from './actions.ts';
import { killPhases } from './points.ts';
import { CrashRun } from './run.ts';
import { cannotCrash } from './cannot.ts';
import { saveCounts } from './totals.ts';

/** Of each action's points so many, evenly apart: the stub has been through all of them. */
const pointsEach = 4;

/** A dozen kills of a daemon whose VMs are real guests. */
export const killWithGuests = (vmm: 'qemu' | 'firecracker'): void => {
  const name = `a daemon that is killed while guests run on ${vmm}`;
  describeUnless(firstOf(cannotCrash, needsTools('qemu-system-x86_64')), name, () => {
    // Firecracker takes no other format.
    const rootfs = vmm === 'qemu' ? 'qcow2' : 'copy';
    const run = new CrashRun({ kit: inject('crashKit'), rootfs, guests: vmm });
    afterAll(async () => {
      await run.dispose();
      await saveCounts(inject('crashCounts'), `guests-${vmm}`, run.counts);
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
  });
};
