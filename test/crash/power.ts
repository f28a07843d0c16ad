// For the test host, whose power is cut while `act` runs: power.mjs make KIT ROOTFS | act | check. Its world is in the
// folder TMPDIR. `check` says what is wrong as lines of JSON; before that, what record it found.
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kitAt } from './support/place.ts';
import { CrashWorld, type SavedWorld } from './support/world.ts';

const saved = join(tmpdir(), 'world.json');
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const make = async (kit: string, rootfs: string): Promise<void> => {
  const world = await CrashWorld.create({ kit: kitAt(kit), rootfs });
  await writeFile(saved, JSON.stringify(world.save()));
  await world.close();
};

const reopen = async (): Promise<CrashWorld> =>
  CrashWorld.reopen(JSON.parse(await readFile(saved, 'utf8')) as SavedWorld);

const operations = [
  ['create', 'POST', '/v1/vms', { name: 'v' }],
  ['stop', 'POST', '/v1/vms/v/stop'],
  ['start', 'POST', '/v1/vms/v/start'],
  ['delete', 'DELETE', '/v1/vms/v?force=true'],
] as const;

/** Round and round, until there is no power. */
const act = async (): Promise<void> => {
  const world = await reopen();
  const daemon = await world.daemon();
  say('ready');
  for (;;) {
    for (const [name, method, path, body] of operations) {
      say(`begin ${name}`);
      await daemon.mustOperate(method, path, body);
      say(`end ${name}`);
    }
  }
};

const check = async (): Promise<void> => {
  const world = await reopen();
  const vm = await (await world.daemon()).vm('v');
  say(vm === undefined ? 'no record' : vm.state);
  const problems = [
    ...(await world.problems()),
    ...(await world.finish()),
    ...(await world.stop()),
  ];
  for (const problem of problems) say(JSON.stringify(problem));
  await world.close();
};

const [command, ...args] = process.argv.slice(2);
if (command === 'make') await make(args[0] ?? '', args[1] ?? '');
else if (command === 'act') await act();
else await check();
