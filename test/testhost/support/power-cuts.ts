import { randomInt } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { bootTestHost, type TestHost } from '../../../scripts/testhost.d/host.ts';
import { stage } from './stage.ts';

export interface PowerCut {
  /** Milliseconds after the first operation began. */
  readonly after: number;
  /** As `create`, or as `after create` between two operations. */
  readonly during: string;
  /** `no record`, or the VM's state, when the next daemon had recovered. */
  readonly found: string;
  readonly problems: readonly string[];
}

export const describeCut = (
  { after, during, found, problems }: PowerCut,
  round: number,
): string => {
  const seconds = (after / 1000).toFixed(1).padStart(4);
  const line = `power cut ${String(round)}: ${seconds} s, ${during.padEnd(12)} found: ${found}`;
  return [line, ...problems.map((problem) => `  ${problem}`)].join('\n');
};

export interface PowerCutOptions {
  readonly stageDisk: string;
  readonly rounds: number;
  readonly signal?: AbortSignal;
  onCut?(cut: PowerCut, round: number): void;
}

/** Somewhat more than one turn of create, stop, start and delete takes in there. */
const longestMs = 12_000;
const temporary = `${stage.mountPoint}/tmp`;
const env = { HOME: stage.home, TMPDIR: temporary };
const program = ['node', `${stage.programs}/power.mjs`];

/** Cuts the power of a test host at random moments of VMs' lives, and looks at what is left after the boot. */
export const cutPower = async (options: PowerCutOptions): Promise<PowerCut[]> => {
  const { stageDisk, rounds, signal, onCut } = options;
  await using host = await bootTestHost({
    disks: [{ path: stageDisk, mountPoint: stage.mountPoint }],
    durable: true,
    ...(signal === undefined ? {} : { signal }),
  });
  await host.ok(['mkdir', '-p', temporary]);
  await host.ok([...program, 'make', stage.kit, 'dm-snapshot'], { env });
  // What stands around banger is not what is tested.
  await host.ok(['sync']);
  const cuts: PowerCut[] = [];
  for (let round = 1; round <= rounds; round++) {
    const cut = await oneCut(host);
    cuts.push(cut);
    onCut?.(cut, round);
  }
  return cuts;
};

const oneCut = async (host: TestHost): Promise<PowerCut> => {
  const lines: string[] = [];
  const after = randomInt(longestMs);
  await actUntil(host, after, lines);
  await host.boot();
  const { code, stdout, stderr } = await host.run([...program, 'check'], { env });
  const [found = '', ...problems] = stdout.trim().split('\n');
  const last = lines.at(-1) ?? '';
  const during = last.replace(/^begin /, '').replace(/^end /, 'after ');
  const more = [
    ...(code === 0 ? [] : [`check: exit code ${String(code)}: ${stderr.trim()}`]),
    ...mismatch(during, found),
  ];
  return { after, during, found, problems: [...problems, ...more] };
};

/** An operation whose end was told is on the disk. */
const mismatch = (during: string, found: string): string[] => {
  const has = found !== 'no record';
  const mustHave = ['after create', 'stop', 'after stop', 'start', 'after start'].includes(during);
  if (mustHave && !has) return [`the VM is gone; the power was cut ${during}`];
  if (during === 'after delete' && has) return ['the VM is there, though it was deleted'];
  return [];
};

/** Returns when the power is off. */
const actUntil = async (host: TestHost, after: number, lines: string[]): Promise<void> => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const stdin = new PassThrough();
  let told = '';
  stderr.on('data', (chunk: Buffer) => (told += chunk.toString('utf8')));
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: stdout }).on('line', (line) => {
      if (line === 'ready') resolve();
      else lines.push(line);
    });
  });
  const acting = host.stream([...program, 'act'], { stdin, stdout, stderr }, { env }).then(
    (code) => {
      throw new Error(`it ended by itself, exit code ${String(code)}: ${told}`);
    },
    (error: unknown) => error,
  );
  // The second never resolves: it rejects, or the power is cut first.
  await Promise.race([ready, acting]);
  await Promise.race([delay(after), acting]);
  await host.powerCut();
  await acting;
};
