/** `0.3 s`, `42 s`, `3 m 05 s`. */
export const formatDuration = (ms: number): string => {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)} s`;
  return `${String(Math.floor(whole / 60))} m ${String(whole % 60).padStart(2, '0')} s`;
};

/** How long ago, as formatSpan tells it. */
export const formatAge = (iso: string, now = Date.now()): string =>
  formatSpan(Math.max(0, Math.floor((now - Date.parse(iso)) / 1000)));

/** In the largest unit that fits: `12s`, `5m`, `3h`, `20d`. */
export const formatSpan = (seconds: number): string => {
  if (seconds < 60) return `${String(seconds)}s`;
  if (seconds < 3_600) return `${String(Math.floor(seconds / 60))}m`;
  if (seconds < 86_400) return `${String(Math.floor(seconds / 3_600))}h`;
  return `${String(Math.floor(seconds / 86_400))}d`;
};
