import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { withFileSystem, type MountedFileSystem } from '../support/file-system.ts';
import { firstOf, needsTools } from '../support/reasons.ts';
import { describeUnless } from '../support/skip.ts';
import { crashActions } from './support/actions.ts';
import { cannotCrash } from './support/cannot.ts';
import { diskPoints } from './support/points.ts';
import { CrashRun } from './support/run.ts';
import { saveCounts } from './support/totals.ts';

describeUnless(
  firstOf(cannotCrash, needsTools('mkfs.xfs', 'losetup')),
  'a daemon that is killed, or whose commands fail, root disks by reflink',
  () => {
    let disk: MountedFileSystem;
    let run: CrashRun;
    beforeAll(async () => {
      disk = await withFileSystem('xfs', 2048);
      // Images and disks share blocks where they are on one file system.
      const own = { images: 'tiny', folder: disk.path } as const;
      run = new CrashRun({ kit: inject('crashKit'), rootfs: 'reflink', ...own });
    });
    afterAll(async () => {
      await run.dispose();
      await disk.destroy();
      await saveCounts(inject('crashCounts'), 'reflink', run.counts);
    });

    it.each(crashActions.map((action) => ({ action, name: action.name })))(
      '$name',
      async ({ action }) => {
        const before = run.counts.leaks.length;
        for (const point of await run.points(action)) {
          if (!diskPoints.test(point.name)) continue;
          await run.killAt(action, point);
          await run.failAt(action, point);
        }
        expect(run.counts.leaks.slice(before)).toEqual([]);
      },
    );
  },
);
