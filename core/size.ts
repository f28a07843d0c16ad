const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/**
 * Bytes of `512M`, `8G`, `1.5GiB`, `4096` (powers of 1024, case and `B`/`iB` ignored), or undefined
 * where the text is no size above zero. `bare` is the unit of a number without one: `M` for memory.
 */
export const parseSize = (text: string, bare: '' | 'm' = ''): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const unit = (match[2] ?? '').toLowerCase();
  const bytes = Number(match[1]) * (units[unit === '' ? bare : unit] ?? 1);
  return Number.isSafeInteger(Math.round(bytes)) && bytes >= 1 ? Math.round(bytes) : undefined;
};

/** `8G`, `512M`, `1.5G`: the shortest form that parseSize reads back to within 1 %. */
export const formatSize = (bytes: number): string => {
  for (const [unit, factor] of [
    ['T', 1024 ** 4],
    ['G', 1024 ** 3],
    ['M', 1024 ** 2],
    ['K', 1024],
  ] as const) {
    if (bytes >= factor) return `${String(Math.round((bytes / factor) * 10) / 10)}${unit}`;
  }
  return `${String(bytes)}B`;
};
