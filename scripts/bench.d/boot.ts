import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { rootFile, workSeedFile } from '../../capabilities/images/build.ts';
import type { DaemonStatus, VmDetails } from '../../core/api/contract/types.ts';
import { idleCpuPercent, residentMib } from './daemon.ts';
import { Floor } from './floor.ts';
import { readCommands, readStages } from './stages.ts';
import { Samples, summarise, type Summary } from './statistics.ts';
import { World } from './world.ts';

export interface BootOptions {
  readonly rounds: number;
  /** 0: not measured. */
  readonly idleSeconds: number;
  /** The daemon's host commands as well; its log is then at level `debug`, which costs a little. */
  readonly trace: boolean;
  readonly signal: AbortSignal;
}

export interface Target {
  readonly name: string;
  readonly value: number;
  readonly limit: number;
  readonly met: boolean;
}

export interface BootReport {
  readonly rounds: number;
  readonly machine: { readonly cpus: number; readonly load: string; readonly node: string };
  /** Milliseconds. */
  readonly times: Readonly<Record<string, Summary>>;
  readonly stages: Readonly<Record<string, Summary>>;
  readonly commands: Readonly<Record<string, Summary>>;
  /** (b)/(a) of each round: says how steady the machine was. */
  readonly pairedRatio: Summary;
  readonly targets: readonly Target[];
}

const vmsOnRecord = 10;
const listsPerRound = 3;

const execsPerRound = 3;

const limits = { runOverFloor: 1.25, listMs: 45, execMs: 100, residentMib: 120, idlePercent: 0.5 };

/** Where the product put the image's files: hard links into the user's cache. */
const imageOf = async (world: World): Promise<{ root: string; work: string }> => {
  const { stdout } = await world.banger('vm', 'show', 'floor', '--json');
  const { capabilities } = JSON.parse(stdout) as VmDetails;
  const disk = capabilities['rootfs']?.['path'];
  if (typeof disk !== 'string') throw new Error('the floor has no root disk');
  const info = await world.exec.run('qemu-img', ['info', '-U', '--output=json', disk]);
  const parsed = JSON.parse(info.stdout) as { 'full-backing-filename'?: string };
  const root = parsed['full-backing-filename'];
  if (root === undefined) throw new Error('the floor needs rootfs.driver = "qcow2" here');
  return { root, work: root.replace(rootFile, workSeedFile) };
};

/** A VM of the product, whose arguments and disks the floor takes over. */
const prepareFloor = async (world: World): Promise<Floor> => {
  const floor = new Floor(world);
  await world.banger('vm', 'create', '--name', 'floor');
  const { stdout } = await world.banger('vm', 'show', 'floor', '--json');
  const { pid } = JSON.parse(stdout) as VmDetails;
  if (pid === null) throw new Error('the first VM does not run');
  try {
    await floor.prepare(pid);
    await floor.makePristine(await imageOf(world));
  } catch (error) {
    await floor.destroy();
    throw error;
  }
  await world.banger('vm', 'stop', 'floor');
  return floor;
};

const floorName = '(a) raw QEMU to the agent’s answer';
const execName = 'vm exec NAME -- true';
const runName = '(b) vm run --rm -- true';

const runOnce = async (world: World, round: number): Promise<number> => {
  const name = `run-${String(round)}`;
  return (await world.banger('vm', 'run', '--rm', '--name', name, '--', 'true')).ms;
};

/** `create`, `ssh`, `stop`, `start`, `delete`: each as a whole process, on one VM. */
const steps = async (world: World, name: string, samples: Samples): Promise<void> => {
  const create = await world.banger('vm', 'create', '--name', name);
  const ssh = await world.banger('vm', 'ssh', name, '--', 'true');
  samples.add('vm create', create.ms);
  samples.add('vm create, then ssh NAME -- true', create.ms + ssh.ms);
  for (let each = 0; each < execsPerRound; each++) {
    samples.add('node -e 0', (await world.node('-e', '0')).ms);
    samples.add(execName, (await world.banger('vm', 'exec', name, '--', 'true')).ms);
  }
  samples.add('vm stop', (await world.banger('vm', 'stop', name)).ms);
  samples.add('vm start', (await world.banger('vm', 'start', name)).ms);
  await world.banger('vm', 'stop', name);
  samples.add('vm delete', (await world.banger('vm', 'delete', name)).ms);
};

const lists = async (world: World, samples: Samples): Promise<void> => {
  for (let each = 0; each < listsPerRound; each++) {
    samples.add('node -e 0', (await world.node('-e', '0')).ms);
    samples.add('vm list', (await world.banger('vm', 'list')).ms);
  }
};

const measureDaemon = async (
  world: World,
  { idleSeconds, signal }: BootOptions,
): Promise<Target[]> => {
  for (let each = 1; each < vmsOnRecord; each++)
    await world.banger('vm', 'create', '--no-start', '--name', `record-${String(each)}`);
  const { stdout } = await world.banger('daemon', 'status', '--json');
  const { pid, vms } = JSON.parse(stdout) as DaemonStatus;
  if (vms !== vmsOnRecord) throw new Error(`${String(vms)} VMs are on record`);
  const targets = [atMost('daemon RSS, MiB', residentMib(pid), limits.residentMib)];
  if (idleSeconds > 0) {
    const percent = await idleCpuPercent(pid, idleSeconds, signal);
    targets.push(atMost('daemon CPU when idle, %', percent, limits.idlePercent));
  }
  return targets;
};

const atMost = (name: string, value: number, limit: number): Target => ({
  name,
  value,
  limit,
  met: value <= limit,
});

const median = (times: Readonly<Record<string, Summary>>, name: string): number =>
  times[name]?.median ?? NaN;

export const benchBoot = async (options: BootOptions): Promise<BootReport> => {
  const root = join(import.meta.dirname, '..', '..');
  const world = await World.create(root, options.signal, options.trace);
  const samples = new Samples();
  const ratios: number[] = [];
  let floor: Floor | undefined;
  let isStopped = false;
  try {
    floor = await prepareFloor(world);
    for (let round = 0; round <= options.rounds; round++) {
      // The first round fills caches and is not counted.
      const into = round === 0 ? new Samples() : samples;
      process.stderr.write(round === 0 ? 'warming up' : ` ${String(round)}`);
      // Which comes first changes, so that a load that grows or wanes favours neither.
      const turns = round % 2 === 0 ? (['floor', 'run'] as const) : (['run', 'floor'] as const);
      const took = { floor: NaN, run: NaN };
      for (const turn of turns)
        took[turn] = turn === 'floor' ? await floor.boot() : await runOnce(world, round);
      into.add(floorName, took.floor);
      into.add(runName, took.run);
      if (round > 0) ratios.push(took.run / took.floor);
      await steps(world, `step-${String(round)}`, into);
      await lists(world, into);
    }
    process.stderr.write('\n');
    const ofDaemon = await measureDaemon(world, options);
    await world.stop();
    isStopped = true;
    const times = samples.summaries();
    const ratio = median(times, runName) / median(times, floorName);
    const execMs = median(times, execName) - median(times, 'node -e 0');
    const listMs = median(times, 'vm list') - median(times, 'node -e 0');
    return {
      rounds: options.rounds,
      machine: {
        cpus: cpus().length,
        load: (await readFile('/proc/loadavg', 'utf8')).trim(),
        node: process.version,
      },
      times,
      stages: readStages(world.stateDirectory),
      commands: options.trace ? await readCommands(world.stateDirectory) : {},
      pairedRatio: summarise(ratios, 3),
      targets: [
        atMost('(b)/(a)', Math.round(ratio * 1000) / 1000, limits.runOverFloor),
        atMost('vm list − node -e 0, ms', Math.round(listMs * 10) / 10, limits.listMs),
        atMost('vm exec − node -e 0, ms', Math.round(execMs * 10) / 10, limits.execMs),
        ...ofDaemon,
      ],
    };
  } finally {
    await floor?.destroy();
    if (!isStopped) await world.stop();
    await world.destroy();
  }
};
