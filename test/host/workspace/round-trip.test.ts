import { expect, it } from 'vitest';
import { GitWorld } from './support/git-world.ts';
import { roundTrip, type Counts } from './support/round-trip.ts';

const cases = 200;
/** As many at once as the smallest machine has cores. */
const atOnce = 2;
/** Another one finds other cases: `BANGER_SEED=7 npx vitest run …`. */
const firstSeed = Number(process.env['BANGER_SEED'] ?? 1);

it(`brings ${String(cases)} random histories and edits in, and back byte for byte`, async () => {
  const counts: Counts = {};
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < cases) {
      const seed = firstSeed * 1_000_000 + next++;
      const world = await GitWorld.create();
      try {
        await roundTrip(world, seed, counts);
      } catch (error) {
        throw new Error(`case ${String(seed)}`, { cause: error });
      } finally {
        await world.dispose();
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  console.log(
    [
      `round trips: ${String(cases)}`,
      ...Object.entries(counts)
        .sort()
        .map(([what, times]) => `  ${what}: ${String(times)}`),
    ].join('\n'),
  );
  for (const what of [
    'unborn HEAD',
    'detached HEAD',
    'with a merge',
    'merged in the guest',
    'with a rename',
    'with a binary change',
    'with a mode change',
    'with a symlink',
    'with a name that is not UTF-8',
    'pulled',
    'pulled beside changes of the host',
    'pull refused: both changed it',
  ])
    expect(counts[what] ?? 0, what).toBeGreaterThan(0);
}, 600_000);
