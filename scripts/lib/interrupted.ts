/** Aborted by Ctrl-C or a TERM, so that a script takes away what it has made. */
export const untilInterrupted = (): AbortSignal => {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted.abort(new Error(`ended by ${signal}`));
    });
  }
  return interrupted.signal;
};
