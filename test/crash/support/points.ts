/** One moment at which the daemon dies or a command fails; found by counting, never listed. */
export interface Point {
  /** `capability/kind/edge` of a claim, or `command/TOOL`. */
  readonly name: string;
  /** Which of its kind in the operation, the first is 1. */
  readonly nth: number;
}

export const killPhases = ['before', 'during', 'after'] as const;
export type KillPhase = (typeof killPhases)[number];

export const failures = ['exit1', 'eperm', 'enospc', 'hang'] as const;
export type Failure = (typeof failures)[number];

/** What one kind of root disk has and another has not; the rest of the points is the same for all. */
export const diskPoints = /^(?:rootfs\/|command\/(?:cp|losetup|dmsetup)$)/;

/** Of the host: the product's own programs, `own/…`, have no shim, and fail for no reason of the host's. */
export const isCommand = ({ name }: Point): boolean =>
  name.startsWith('command/') && !name.startsWith('command/own/');

export const describePoint = ({ name, nth }: Point): string =>
  nth === 1 ? name : `${name}#${String(nth)}`;

/** Lines of `NAME TAB NTH`. */
export const parsePoints = (text: string): Point[] =>
  text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', nth = '1'] = line.split('\t');
      return { name, nth: Number(nth) };
    });
