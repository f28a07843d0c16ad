import { parseArgs } from 'node:util';
import { untilInterrupted } from '../lib/interrupted.ts';
import { benchBoot } from './boot.ts';
import { printReport } from './report.ts';

/** Fewer say little on a machine that others use as well. */
const officialRounds = 7;

const usage = 'usage: scripts/bench boot [--rounds N] [--idle SECONDS] [--trace] [--json]';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: String(officialRounds) },
    idle: { type: 'string' },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const idleSeconds = values.idle === undefined ? 0 : Number(values.idle);
if (positionals.join(' ') !== 'boot' || !(rounds >= 1) || !(idleSeconds >= 0)) {
  console.error(usage);
  process.exit(2);
}
try {
  const report = await benchBoot({
    rounds,
    idleSeconds,
    trace: values.trace,
    signal: untilInterrupted(),
  });
  if (values.json) console.log(JSON.stringify(report, undefined, 2));
  else printReport(report);
  if (rounds < officialRounds)
    console.error(`note: the official figure takes at least ${officialRounds} rounds`);
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exitCode = 1;
}
