import { describe, expect, inject, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';
import { diskPoints } from '../crash/support/points.ts';
import type { CrashCounts } from '../crash/support/run.ts';
import { saveCounts } from '../crash/support/totals.ts';
import { stage } from './support/stage.ts';

const temporary = `${stage.mountPoint}/tmp`;

/**
 * For two hosts at once, of one CPU each, which take about as long. `delete --force`, whose points are those of kill and of
 * delete, is for by hand: the time of all tests together has no room for it.
 */
const halves = [
  ['create', 'start', 'delete'],
  ['stop', 'kill'],
];

describe('a daemon that is killed, root disks by dm-snapshot', () => {
  const names = halves.map((actions) => ({ actions, name: actions.join(', ') }));
  it.concurrent.each(names)('leaves no loop and no target behind: $name', async ({ actions }) => {
    await using host = await bootTestHost({
      disks: [{ path: inject('stageDisk'), mountPoint: stage.mountPoint }],
    });
    await host.ok(['mkdir', '-p', temporary]);
    const program = `${stage.programs}/inside.mjs`;
    const told = await host.ok(
      ['node', program, stage.kit, 'dm-snapshot', diskPoints.source, ...actions],
      { env: { HOME: stage.home, TMPDIR: temporary }, timeoutMs: 1_700_000 },
    );
    console.log(told);
    const counts = JSON.parse(told.split('\n').at(-1) ?? '') as CrashCounts;
    await saveCounts(inject('crashCounts'), `dm-snapshot-${actions.join('-')}`, counts);
    expect(counts.leaks).toEqual([]);
    expect(counts.kills).toBeGreaterThan(0);
  });
});
