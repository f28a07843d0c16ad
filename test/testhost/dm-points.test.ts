import { describe, expect, inject, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';
import type { CrashCounts } from '../crash/support/run.ts';
import { saveCounts } from '../crash/support/totals.ts';
import { stage } from './support/stage.ts';

/** One a core. */
const hosts = 2;
/** What no other root disk has; the rest of the points is the same as outside. */
const pattern = '^(rootfs/|command/(losetup|dmsetup)$)';
/** What the time of all tests together has room for; by hand with none, which is all of them: three times as long. */
const actions = ['create'];
const temporary = `${stage.mountPoint}/tmp`;

const killIn = async (part: number): Promise<CrashCounts> => {
  await using host = await bootTestHost({
    disks: [{ path: inject('stageDisk'), mountPoint: stage.mountPoint }],
  });
  await host.ok(['mkdir', '-p', temporary]);
  const told = await host.ok(
    [
      'node',
      `${stage.programs}/inside.mjs`,
      stage.kit,
      'dm-snapshot',
      pattern,
      String(part),
      String(hosts),
      ...actions,
    ],
    { env: { HOME: stage.home, TMPDIR: temporary }, timeoutMs: 1_700_000 },
  );
  console.log(told);
  return JSON.parse(told.split('\n').at(-1) ?? '') as CrashCounts;
};

describe('a daemon that is killed, root disks by dm-snapshot', () => {
  it('leaves no loop and no target that the next one does not know', async () => {
    const counts = await Promise.all(Array.from({ length: hosts }, (_, part) => killIn(part)));
    await Promise.all(
      counts.map((each, part) =>
        saveCounts(inject('crashCounts'), `dm-snapshot-${String(part)}`, each),
      ),
    );
    expect(counts.flatMap(({ leaks }) => leaks)).toEqual([]);
    for (const { kills } of counts) expect(kills).toBeGreaterThan(0);
  });
});
