// The suite without vitest, for the test host: bundled, and run by plain node. Arguments: the kit's folder, the root disk
// driver, a pattern of points, and the names of actions; none: all. The last line is the counts, as JSON.
import { crashActions } from './support/actions.ts';
import { kitAt } from './support/place.ts';
import { describePoint } from './support/points.ts';
import { CrashRun } from './support/run.ts';

const [kit = '', rootfs = '', pattern = '', ...names] = process.argv.slice(2);

/** They touch no root disk, and what runs in here is slow. */
const without = ['nat', 'tap-pool', 'ssh', 'work-disk'];
/** A question takes the one CPU from the daemon that is to answer. */
const pollMs = 60;

const run = new CrashRun({ kit: kitAt(kit), rootfs, without, pollMs, keepsVm: true });
for (const action of crashActions) {
  if (names.length > 0 && !names.includes(action.name)) continue;
  const chosen = (await run.points(action)).filter(({ name }) => new RegExp(pattern).test(name));
  for (const point of chosen) {
    const began = performance.now();
    await run.killAt(action, point);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    process.stdout.write(`${action.name}: ${describePoint(point)} (${seconds} s)\n`);
  }
  await run.endOf(action);
}
await run.dispose();
process.stdout.write(`${JSON.stringify(run.counts)}\n`);
