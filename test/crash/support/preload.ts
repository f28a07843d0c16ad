// Built and loaded into the daemon under test (node --import). It follows claims and host commands by their diagnostic
// channels and, at the one point that the suite has armed, kills the daemon or makes the command fail.
// Everything is synchronous: what is killed "before" has not begun.
import { ChildProcess } from 'node:child_process';
import { subscribe, tracingChannel } from 'node:diagnostics_channel';
import {
  accessSync,
  appendFileSync,
  constants,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import type { CommandSpan } from '../../../core/host/create-executor.ts';
import type { ClaimChange } from '../../../core/ledger/changes.ts';

const control = process.env['BANGER_CRASH_CONTROL'] ?? '';

/** What the suite has armed; see CrashWorld. */
interface Arm {
  readonly id: string;
  readonly mode: 'record' | 'kill' | 'fail';
  readonly point?: string;
  readonly nth?: number;
  readonly phase?: string;
  readonly how?: string;
}

const armed = (): Arm | undefined => {
  try {
    return JSON.parse(readFileSync(join(control, 'arm.json'), 'utf8')) as Arm;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const seen = new Map<string, number>();
/** How often this point has come since it was armed, the first time 1. */
const count = (point: string, arm: Arm): number => {
  const key = `${arm.id} ${point}`;
  const times = (seen.get(key) ?? 0) + 1;
  seen.set(key, times);
  return times;
};

const die = (arm: Arm): void => {
  writeFileSync(join(control, 'reached'), arm.id);
  rmSync(join(control, 'arm.json'));
  process.kill(process.pid, 'SIGKILL');
};

/** The armed point, by the span of its event. */
const current = new WeakMap<object, Arm>();
const begin = (span: object, point: string): Arm | undefined => {
  const arm = armed();
  if (arm === undefined) return undefined;
  const nth = count(point, arm);
  if (arm.mode === 'record') appendFileSync(join(control, 'points'), `${point}\t${String(nth)}\n`);
  if (arm.mode === 'record' || arm.point !== point || arm.nth !== nth) return undefined;
  current.set(span, arm);
  if (arm.mode === 'kill' && arm.phase === 'before') die(arm);
  return arm;
};
const reach = (span: unknown, phase: string): void => {
  const arm = typeof span === 'object' && span !== null ? current.get(span) : undefined;
  if (arm?.mode === 'kill' && arm.phase === phase) die(arm);
};

/** Keys are `kind:…`, or a VM's id, a token, a content id: the kind alone is the same in each run. */
const kindOf = (key: string): string =>
  key.includes(':') ? key.slice(0, key.indexOf(':')) : 'object';

const nothing = (): void => undefined;

tracingChannel<string, ClaimChange>('banger:claim').subscribe({
  start: (change) => {
    begin(change, `${change.capability}/${kindOf(change.key)}/${change.edge}`);
  },
  end: (change) => {
    reach(change, 'after');
  },
  asyncStart: nothing,
  asyncEnd: nothing,
  error: nothing,
});
subscribe('banger:claim:committing', (change) => {
  reach(change, 'during');
});

/** Set while the armed command is being started: what its shim has to do. */
const starting: { act?: string } = {};
const setTimeoutOfNode = globalThis.setTimeout;
globalThis.setTimeout = new Proxy(setTimeoutOfNode, {
  apply: (target, self, [work, ms, ...rest]: [() => void, number, ...unknown[]]) =>
    Reflect.apply(target, self, [
      work,
      starting.act === 'hang' && ms >= 1000 ? 200 : ms,
      ...rest,
    ]) as unknown,
});
interface SpawnOptions {
  file: string;
  readonly args: string[];
  readonly envPairs: string[];
}

const shims = join(control, 'shims');
const behindShims = new Map<string, string | undefined>();
const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return false;
    throw error;
  }
};

/** What the shim would become, which has nothing else to do: of some forty commands a case, each is spared a shell. */
const skipShim = (options: SpawnOptions): void => {
  if (dirname(options.file) !== shims) return;
  const tool = basename(options.file);
  const path = options.envPairs.findIndex((pair) => pair.startsWith('PATH='));
  const [first, ...folders] = (options.envPairs[path] ?? '').slice('PATH='.length).split(delimiter);
  if (first !== shims) return;
  if (!behindShims.has(tool))
    behindShims.set(tool, folders.map((folder) => join(folder, tool)).find(isProgram));
  const program = behindShims.get(tool);
  if (program === undefined) return;
  options.file = program;
  options.args[0] = tool;
  options.envPairs[path] = `PATH=${folders.join(delimiter)}`;
};

// Not in Node's types; https://github.com/nodejs/node/blob/v20.x/lib/internal/child_process.js
const spawnOfNode: unknown = Reflect.get(ChildProcess.prototype, 'spawn');
if (typeof spawnOfNode !== 'function')
  throw new Error('this Node has no ChildProcess.prototype.spawn');
Reflect.set(
  ChildProcess.prototype,
  'spawn',
  new Proxy(spawnOfNode, {
    apply: (target, self, [options]: [SpawnOptions]) => {
      if (starting.act === undefined) skipShim(options);
      else options.envPairs.push(`BANGER_CRASH_ACT=${starting.act}`);
      return Reflect.apply(target, self, [options]) as unknown;
    },
  }),
);

tracingChannel<string, CommandSpan>('banger:command').subscribe({
  start: (span) => {
    const [program = ''] = span.command;
    const tool = program.includes('/dist/') ? `own/${basename(program)}` : basename(program);
    const arm = begin(span, `command/${tool}`);
    if (arm === undefined) return;
    // A VMM is meant to outlive the daemon: nothing waits for it.
    const holds = arm.phase === 'during' && !/^(qemu-system|firecracker)/.test(tool);
    const act = arm.mode === 'fail' ? arm.how : holds ? 'hold' : undefined;
    if (act !== undefined) starting.act = act;
    if (arm.mode !== 'fail') return;
    writeFileSync(join(control, 'reached'), arm.id);
    rmSync(join(control, 'arm.json'));
  },
  // The process is there.
  end: (span) => {
    delete starting.act;
    reach(span, 'during');
  },
  asyncStart: (span) => {
    reach(span, 'after');
  },
  asyncEnd: nothing,
  error: nothing,
});
