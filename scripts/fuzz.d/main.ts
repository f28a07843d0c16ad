import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openExecutor } from '../lib/executor.ts';
import { untilInterrupted } from '../lib/interrupted.ts';
import { eachAtOnce } from './at-once.ts';
import { describeResult, runTarget } from './run-target.ts';
import { buildTargets, fuzzFolder, seedsOf, targetNames } from './targets.ts';

const usage = 'usage: scripts/fuzz [TARGET…] [--seconds N]';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' } },
});
const seconds = Number(values.seconds);
const known = await targetNames();
const targets = positionals.length === 0 ? known : positionals;
const unknown = targets.filter((target) => !known.includes(target));
if (unknown.length > 0 || !Number.isSafeInteger(seconds) || seconds < 1) {
  console.error(`${usage}\ntargets: ${known.join(', ')}`);
  process.exit(2);
}
try {
  await using exec = await openExecutor();
  const signal = untilInterrupted();
  const build = join(fuzzFolder, 'build');
  await buildTargets(targets, build, { exec, signal });
  await eachAtOnce(targets, async (target) => {
    const result = await runTarget(target, join(build, target), {
      exec,
      signal,
      seconds,
      corpus: join(fuzzFolder, 'corpus', target),
      seeds: [seedsOf(target)],
      found: join(fuzzFolder, 'found', target),
    });
    console.log(describeResult(result));
    if (result.failure === undefined) return;
    process.exitCode = 1;
    console.error(result.failure.report);
    console.error(`${target} fails with ${result.failure.path ?? 'an input that is lost'}`);
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
