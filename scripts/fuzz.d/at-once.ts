import { availableParallelism } from 'node:os';

export const processors = availableParallelism();

/** Does something with each, as many at once as there are processors. @returns the results in the same order */
export const eachAtOnce = async <T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> => {
  const results: R[] = [];
  const left = items.map((item, index) => ({ item, index }));
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      results[next.index] = await work(next.item);
  };
  await Promise.all(Array.from({ length: processors }, worker));
  return results;
};
