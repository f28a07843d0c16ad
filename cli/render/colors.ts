import pc from 'picocolors';

export type Colors = ReturnType<typeof pc.createColors>;

/** picocolors looks at standard output only; most of what we say goes to standard error. */
export const colorsFor = (isTerminal: boolean, env: NodeJS.ProcessEnv): Colors => {
  const isForced = (env['FORCE_COLOR'] ?? '') !== '' && env['FORCE_COLOR'] !== '0';
  const isRefused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return pc.createColors(!isRefused && (isTerminal || isForced));
};
