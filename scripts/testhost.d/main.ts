import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { messageOf } from '../../core/errors.ts';
import { untilInterrupted } from '../lib/interrupted.ts';
import { ensureBuilt } from './build.ts';
import { bootTestHost } from './host.ts';
import { runSuite, type SuiteOptions } from './suite.ts';
import { makeKit } from '../../test/crash/support/kit.ts';
import { cutPower, describeCut } from '../../test/testhost/support/power-cuts.ts';
import { makeStage } from '../../test/testhost/support/stage.ts';

const usage = `usage: scripts/testhost build
       scripts/testhost run [--dir DIR] -- COMMAND…
       scripts/testhost crash [--rounds N]
       scripts/testhost e2e --firecracker BINARY [-- VITEST-ARGUMENTS…]
`;

const say = (line: string): void => {
  process.stderr.write(`testhost: ${line}\n`);
};

interface Arguments {
  readonly dir?: string;
  readonly argv: readonly string[];
}

const parseRun = (args: readonly string[]): Arguments | undefined => {
  const end = args.indexOf('--');
  if (end < 0 || end === args.length - 1) return undefined;
  const [option, dir, ...more] = args.slice(0, end);
  const argv = args.slice(end + 1);
  if (option === undefined) return { argv };
  if (option !== '--dir' || dir === undefined || more.length > 0) return undefined;
  return { dir, argv };
};

const run = async (given: Arguments, signal: AbortSignal): Promise<number> => {
  const { dir, argv } = given;
  await using host = await bootTestHost({ ...(dir === undefined ? {} : { dir }), signal, say });
  return await host.stream(argv, process);
};

const defaultRounds = 10;

const parseCrash = (args: readonly string[]): number | undefined => {
  if (args.length === 0) return defaultRounds;
  const [option, count = '', ...more] = args;
  const rounds = /^[1-9]\d{0,3}$/.test(count) ? Number(count) : undefined;
  return option === '--rounds' && more.length === 0 ? rounds : undefined;
};

const crash = async (rounds: number, signal: AbortSignal): Promise<number> => {
  const folder = await mkdtemp(join(tmpdir(), 'bgt-'));
  try {
    const stageDisk = join(folder, 'stage.raw');
    say('bringing the product, its image and a stub VMM together');
    await makeStage(stageDisk, await makeKit(join(folder, 'kit')));
    const cuts = await cutPower({
      stageDisk,
      rounds,
      signal,
      onCut: (cut, round) => process.stdout.write(`${describeCut(cut, round)}\n`),
    });
    const wrong = cuts.flatMap(({ problems }) => problems).length;
    process.stdout.write(`${String(cuts.length)} power cuts, ${String(wrong)} problems\n`);
    return wrong === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true });
  }
};

const parseSuite = (
  args: readonly string[],
): Pick<SuiteOptions, 'firecracker' | 'args'> | undefined => {
  const [option, firecracker, end, ...more] = args;
  if (option !== '--firecracker' || firecracker === undefined) return undefined;
  return end === undefined || end === '--' ? { firecracker, args: more } : undefined;
};

const main = async (args: readonly string[], signal: AbortSignal): Promise<number> => {
  const [command, ...rest] = args;
  if (command === 'build' && rest.length === 0) {
    const { template } = await ensureBuilt({ signal, say });
    say(`ready: ${template}`);
    return 0;
  }
  const rounds = command === 'crash' ? parseCrash(rest) : undefined;
  if (rounds !== undefined) return crash(rounds, signal);
  const suite = command === 'e2e' ? parseSuite(rest) : undefined;
  if (suite !== undefined) return runSuite({ ...suite, signal, say }, process);
  const given = command === 'run' ? parseRun(rest) : undefined;
  if (given !== undefined) return run(given, signal);
  process.stderr.write(usage);
  return 2;
};

const stopped = untilInterrupted();
try {
  process.exitCode = await main(process.argv.slice(2), stopped);
} catch (error) {
  // What broke because we were told to end is of no interest.
  const why: unknown = stopped.aborted ? stopped.reason : error;
  say(why === error ? inspect(why) : messageOf(why));
  process.exitCode = 125;
} finally {
  process.stdin.destroy();
}
