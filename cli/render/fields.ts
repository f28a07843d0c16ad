import { plainLine } from './plain-text.ts';

/** `name:   value`, one a line; what has no value is left out. */
export const fields = (
  entries: readonly (readonly [string, string | null | undefined])[],
): string => {
  const known = entries.flatMap(([name, value]) =>
    value === null || value === undefined || value === '' ? [] : [[name, value] as const],
  );
  const width = Math.max(0, ...known.map(([name]) => name.length)) + 1;
  return known
    .map(([name, value]) => `${`${name}:`.padEnd(width)}  ${plainLine(value)}\n`)
    .join('');
};
