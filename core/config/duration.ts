const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `500ms`, `10s`, `5m`, `1h`, or undefined. */
export const parseDuration = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  const factor = units[match?.[2] ?? ''];
  return factor === undefined ? undefined : Math.round(Number(match?.[1]) * factor);
};
