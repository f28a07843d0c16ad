// The suite without vitest, for the test host: bundled, and run by plain node. Arguments: the kit's folder, the root disk
// driver, a pattern of points, and what is done at them in which actions, as `kill:create` or `fail:delete --force`; none:
// all. The last line is the counts, as JSON.
import { crashActions } from './support/actions.ts';
import { kitAt } from './support/place.ts';
import { describePoint, isCommand } from './support/points.ts';
import { CrashRun } from './support/run.ts';

const [kit = '', rootfs = '', pattern = '', ...chosen] = process.argv.slice(2);
const known = crashActions.flatMap(({ name }) => [`kill:${name}`, `fail:${name}`]);
const unknown = chosen.filter((each) => !known.includes(each));
if (unknown.length > 0) throw new Error(`no ${unknown.join(', ')}; there are ${known.join(', ')}`);

/** They touch no root disk, and what runs in here is slow. */
const without = ['nat', 'tap-pool', 'ssh', 'work-disk'];
/** A question takes the one CPU from the daemon that is to answer. */
const pollMs = 60;

const run = new CrashRun({ kit: kitAt(kit), rootfs, without, pollMs, keepsVm: true });
for (const action of crashActions) {
  const isChosen = (what: string): boolean =>
    chosen.length === 0 || chosen.includes(`${what}:${action.name}`);
  if (!isChosen('kill') && !isChosen('fail')) continue;
  for (const point of await run.points(action)) {
    const isKilled = isChosen('kill');
    const isFailed = isChosen('fail') && isCommand(point);
    if (!new RegExp(pattern).test(point.name) || !(isKilled || isFailed)) continue;
    const began = performance.now();
    if (isKilled) await run.killAt(action, point);
    if (isFailed) await run.failAt(action, point);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    process.stdout.write(`${action.name}: ${describePoint(point)} (${seconds} s)\n`);
  }
  await run.endOf(action);
}
await run.dispose();
process.stdout.write(`${JSON.stringify(run.counts)}\n`);
