import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { DaemonStatus } from '../../core/api/contract/types.ts';
import { Samples, summarise, type Summary } from '../bench.d/statistics.ts';
import { World } from '../bench.d/world.ts';
import { countOf, sampleDaemon, type DaemonSample, type Descriptors } from './daemon-sample.ts';
import { hostOf, leftOnHost } from './host.ts';

export interface SoakOptions {
  readonly cycles: number;
  readonly atOnce: number;
  readonly signal: AbortSignal;
}

export interface Check {
  readonly name: string;
  readonly detail: string;
  readonly ok: boolean;
}

export interface SoakReport {
  readonly ok: boolean;
  readonly cycles: number;
  readonly atOnce: number;
  readonly machine: { readonly cpus: number; readonly load: string; readonly node: string };
  readonly seconds: number;
  /** Milliseconds. */
  readonly times: Readonly<Record<string, Summary>>;
  /** The daemon after each cycle. */
  readonly samples: readonly DaemonSample[];
  readonly checks: readonly Check[];
}

/** Until then V8's heap and glibc's arenas find their size. */
const warmUpCycles = 10;
const maxGrowthMib = 10;

/** Enough for a guest; eight of them are 4 GiB at most. */
const small = ['--vcpu', '1', '--memory', '512M'];

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `many-${String(index + 1)}`);

/** As that many clients at the same time; the times are of each of them. */
const together = async (
  names: readonly string[],
  what: string,
  times: Samples,
  command: (name: string) => Promise<{ readonly ms: number }>,
): Promise<void> => {
  for (const { ms } of await Promise.all(names.map(command)))
    times.add(`${String(names.length)} at once: ${what}`, ms);
};

const soakTogether = async (world: World, atOnce: number, times: Samples): Promise<void> => {
  const names = numbered(atOnce);
  const vm =
    (verb: string, ...options: string[]) =>
    (name: string) =>
      world.banger('vm', verb, ...options, name);
  await together(names, 'create', times, vm('create', '--no-start', ...small));
  await together(names, 'start', times, vm('start'));
  await together(names, 'exec', times, (name) => answers(world, name));
  await together(names, 'delete', times, vm('delete', '--force'));
};

/** That it is this guest that answers. */
const answers = async (world: World, name: string): Promise<{ readonly ms: number }> => {
  const { ms, stdout } = await world.banger('vm', 'exec', name, '--', 'hostname');
  if (stdout !== `${name}\n`) throw new Error(`${name} calls itself ${stdout}`);
  return { ms };
};

const cycle = async (world: World, name: string, times: Samples): Promise<void> => {
  times.add('create', (await world.banger('vm', 'create', '--no-start', ...small, name)).ms);
  times.add('start', (await world.banger('vm', 'start', name)).ms);
  times.add('exec', (await answers(world, name)).ms);
  times.add('stop', (await world.banger('vm', 'stop', name)).ms);
  times.add('delete', (await world.banger('vm', 'delete', name)).ms);
};

const daemonPid = async (world: World): Promise<number> => {
  const { stdout } = await world.banger('daemon', 'status', '--json');
  return (JSON.parse(stdout) as DaemonStatus).pid;
};

/** Of few cycles a third are the warm-up. */
const warmUpOf = (cycles: number): number => Math.min(warmUpCycles, Math.ceil(cycles / 3));

const checkMemory = (samples: readonly DaemonSample[]): Check => {
  const warmUp = warmUpOf(samples.length);
  const rss = samples.map(({ rssMib }) => rssMib);
  const reference = summarise(rss.slice(Math.max(0, warmUp - 5), warmUp)).median;
  const later = rss.slice(warmUp);
  const most = later.length === 0 ? reference : Math.max(...later);
  return {
    name: 'daemon RSS, MiB',
    detail: `${String(reference)} after warm-up, then ${String(most)} at most, ${String(rss.at(-1))} at the end`,
    ok: most - reference <= maxGrowthMib,
  };
};

const describe = (descriptors: Descriptors): string =>
  Object.entries(descriptors)
    .map(([type, count]) => `${String(count)} ${type}`)
    .join(', ');

/** Each type by itself: one that grows is not made up for by another that shrinks. */
const checkDescriptors = (samples: readonly DaemonSample[]): Check => {
  const before = samples[warmUpOf(samples.length) - 1]?.descriptors ?? {};
  const after = samples.at(-1)?.descriptors ?? {};
  const grown = Object.entries(after).filter(([type, count]) => count > (before[type] ?? 0));
  return {
    name: 'daemon descriptors',
    detail:
      grown.length === 0
        ? `${String(countOf(before))} after warm-up, ${String(countOf(after))} at the end`
        : `more than after warm-up: ${describe(Object.fromEntries(grown))}; then: ${describe(before)}`,
    ok: grown.length === 0,
  };
};

const checkHost = (left: readonly string[]): Check => ({
  name: 'host',
  detail: left.length === 0 ? 'as it was' : left.join('\n'),
  ok: left.length === 0,
});

const checkOneDaemon = (pids: ReadonlySet<number>): Check => ({
  name: 'daemon',
  detail: pids.size === 1 ? 'the same process all the time' : `pids ${[...pids].join(', ')}`,
  ok: pids.size === 1,
});

/** @throws Error where a command fails; what there is of VMs and the daemon is taken away all the same */
export const soak = async ({ cycles, atOnce, signal }: SoakOptions): Promise<SoakReport> => {
  const world = await World.create(join(import.meta.dirname, '..', '..'), signal, false);
  const started = performance.now();
  const times = new Samples();
  const samples: DaemonSample[] = [];
  const pids = new Set<number>();
  let isStopped = false;
  try {
    process.stderr.write('image');
    // Image, kernel, keys: they stay for the next VM, so they are there before the host is looked at.
    await world.banger('vm', 'run', '--rm', ...small, '--name', 'first', '--', 'true');
    await world.stop();
    const before = await hostOf(world);
    process.stderr.write(`, ${String(atOnce)} at once`);
    await soakTogether(world, atOnce, times);
    process.stderr.write(', cycles:');
    for (let count = 1; count <= cycles; count++) {
      await cycle(world, `cycle-${String(count)}`, times);
      const pid = await daemonPid(world);
      pids.add(pid);
      const previous = samples.at(-1);
      samples.push(
        await sampleDaemon(pid, previous === undefined ? 0 : countOf(previous.descriptors)),
      );
      if (count % 10 === 0) process.stderr.write(` ${String(count)}`);
    }
    process.stderr.write('\n');
    await world.stop();
    isStopped = true;
    const checks = [
      checkHost(await leftOnHost(world, before)),
      checkMemory(samples),
      checkDescriptors(samples),
      checkOneDaemon(pids),
    ];
    return {
      ok: checks.every(({ ok }) => ok),
      cycles,
      atOnce,
      machine: {
        cpus: cpus().length,
        load: (await readFile('/proc/loadavg', 'utf8')).trim(),
        node: process.version,
      },
      seconds: Math.round((performance.now() - started) / 1000),
      times: times.summaries(),
      samples,
      checks,
    };
  } finally {
    if (!isStopped) await world.stop();
    await world.destroy();
  }
};
