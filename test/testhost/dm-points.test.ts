import { describe, expect, inject, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';
import { diskPoints } from '../crash/support/points.ts';
import type { CrashCounts } from '../crash/support/run.ts';
import { saveCounts } from '../crash/support/totals.ts';
import { stage } from './support/stage.ts';

const temporary = `${stage.mountPoint}/tmp`;

/**
 * For two hosts at once, of one CPU each, which take about as long. So each point of this disk comes once: those of start are
 * create's, those of kill stop's, and those of `delete --force` stop's and delete's. They are for by hand, as the time of all
 * tests together has no room for them.
 */
const halves = [
  ['kill:create', 'fail:create', 'kill:delete'],
  ['kill:stop', 'fail:stop'],
];

describe('a daemon that is killed, or whose commands fail, root disks by dm-snapshot', () => {
  const named = halves.map((what) => ({ what, name: what.join(', ') }));
  it.concurrent.each(named)(
    'leaves no loop and no target behind: $name',
    async ({ what, name }) => {
      await using host = await bootTestHost({
        disks: [{ path: inject('stageDisk'), mountPoint: stage.mountPoint }],
      });
      await host.ok(['mkdir', '-p', temporary]);
      const program = `${stage.programs}/inside.mjs`;
      const told = await host.ok(
        ['node', program, stage.kit, 'dm-snapshot', diskPoints.source, ...what],
        { env: { HOME: stage.home, TMPDIR: temporary }, timeoutMs: 1_700_000 },
      );
      console.log(told);
      const counts = JSON.parse(told.split('\n').at(-1) ?? '') as CrashCounts;
      await saveCounts(
        inject('crashCounts'),
        `dm-snapshot-${name.replaceAll(/\W+/g, '-')}`,
        counts,
      );
      expect(counts.leaks).toEqual([]);
      expect(counts.kills).toBeGreaterThan(0);
      expect(counts.failures).toBeGreaterThan(0);
    },
  );
});
