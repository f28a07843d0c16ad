import type { Progress } from '../../core/plugin-api/index.ts';

/** Parts of the whole that mmdebstrap's phases take, roughly. */
const phases = { download: [0, 0.35], unpack: [0.35, 0.65], setup: [0.65, 1] } as const;

/** How mmdebstrap does it, which tells nobody how far it is. */
const internals = /hook|tempdir|requested|emulation|architecture|signed-by|automatically chosen/;

/** Reads mmdebstrap's and apt's output as progress; a line that tells nothing gives undefined. */
export const createPackageProgress = (): ((line: string) => Progress | undefined) => {
  let total = 0;
  const seen = { download: 0, unpack: 0, setup: 0 };
  const step = (phase: keyof typeof phases, text: string): Progress => {
    seen[phase]++;
    const [from, to] = phases[phase];
    if (total === 0) return { text };
    const share = Math.min(1, seen[phase] / total);
    return { text, fraction: from + (to - from) * share };
  };
  return (line) => {
    const count = /(\d+) newly installed/.exec(line);
    if (count !== null) total = Math.max(total, Number(count[1]));
    const fetched = /^Get:\d+ \S+ \S+ \S+ (\S+) /.exec(line);
    if (fetched?.[1] !== undefined) return step('download', `downloading ${fetched[1]}`);
    const unpacked = /^Unpacking (\S+)/.exec(line);
    if (unpacked?.[1] !== undefined) return step('unpack', `unpacking ${unpacked[1]}`);
    const set = /^Setting up (\S+)/.exec(line);
    if (set?.[1] !== undefined) return step('setup', `setting up ${set[1]}`);
    const phase = /^I: (.*?)(?:\.\.\.)?$/.exec(line);
    return phase?.[1] === undefined || internals.test(phase[1]) ? undefined : { text: phase[1] };
  };
};
