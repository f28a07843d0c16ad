export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

const round = (value: number, digits: number): number =>
  Math.round(value * 10 ** digits) / 10 ** digits;

const quantile = (sorted: readonly number[], share: number): number => {
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? NaN;
  const high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
};

export const summarise = (values: readonly number[], digits = 1): Summary => {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median: round(quantile(sorted, 0.5), digits),
    min: round(sorted[0] ?? NaN, digits),
    max: round(sorted.at(-1) ?? NaN, digits),
    count: sorted.length,
  };
};

/** Named samples, in the order in which their names first came. */
export class Samples {
  readonly #byName = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.#byName.get(name);
    if (values === undefined) this.#byName.set(name, [value]);
    else values.push(value);
  }

  summaries(): Record<string, Summary> {
    return Object.fromEntries([...this.#byName].map(([name, values]) => [name, summarise(values)]));
  }
}
