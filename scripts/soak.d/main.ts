import { parseArgs } from 'node:util';
import { untilInterrupted } from '../lib/interrupted.ts';
import { printReport } from './report.ts';
import { soak } from './soak.ts';

const usage = 'usage: scripts/soak [--cycles N] [--at-once N] [--json]';

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '100' },
    'at-once': { type: 'string', default: '8' },
    json: { type: 'boolean', default: false },
  },
});
const cycles = Number(values.cycles);
const atOnce = Number(values['at-once']);
if (!Number.isSafeInteger(cycles) || cycles < 1 || !Number.isSafeInteger(atOnce) || atOnce < 1) {
  console.error(usage);
  process.exit(2);
}
try {
  const report = await soak({ cycles, atOnce, signal: untilInterrupted() });
  if (values.json) console.log(JSON.stringify(report, undefined, 2));
  else printReport(report);
  process.exitCode = report.ok ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exitCode = 1;
}
