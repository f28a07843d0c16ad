import { describe, expect, inject, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';
import { diskPoints } from '../crash/support/points.ts';
import type { CrashCounts } from '../crash/support/run.ts';
import { saveCounts } from '../crash/support/totals.ts';
import { stage } from './support/stage.ts';

/** What the time of all tests together has room for; by hand without names, which is all: five times as many. */
const actions = ['create'];
const temporary = `${stage.mountPoint}/tmp`;

/** Two hosts at once, of one CPU each. */
const parts = ['1/2', '2/2'];

describe('a daemon that is killed, root disks by dm-snapshot', () => {
  it.concurrent.each(parts)('leaves no loop and no target behind (part %s)', async (part) => {
    await using host = await bootTestHost({
      disks: [{ path: inject('stageDisk'), mountPoint: stage.mountPoint }],
    });
    await host.ok(['mkdir', '-p', temporary]);
    const program = `${stage.programs}/inside.mjs`;
    const told = await host.ok(
      ['node', program, stage.kit, 'dm-snapshot', diskPoints.source, part, ...actions],
      { env: { HOME: stage.home, TMPDIR: temporary }, timeoutMs: 1_700_000 },
    );
    console.log(told);
    const counts = JSON.parse(told.split('\n').at(-1) ?? '') as CrashCounts;
    await saveCounts(inject('crashCounts'), `dm-snapshot-${part.replace('/', '-')}`, counts);
    expect(counts.leaks).toEqual([]);
    expect(counts.kills).toBeGreaterThan(0);
  });
});
