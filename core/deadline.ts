/**
 * Aborted after so many milliseconds, or with the first of the signals. Not `AbortSignal.any` over
 * `AbortSignal.timeout`: Node's composite holds its sources weakly, so that a garbage collection takes the time-out
 * away, which then never comes (https://github.com/nodejs/node/issues/57736; Node 20 and 22 have it).
 */
export const deadlineSignal = (
  ms: number,
  ...signals: readonly (AbortSignal | undefined)[]
): AbortSignal => {
  const controller = new AbortController();
  const sources = signals.filter((signal) => signal !== undefined);
  const end = (reason: unknown): void => {
    clearTimeout(timer);
    for (const source of sources) source.removeEventListener('abort', onAbort);
    controller.abort(reason);
  };
  function onAbort(this: AbortSignal): void {
    end(this.reason);
  }
  const timer = setTimeout(() => {
    end(new DOMException(`not within ${String(ms / 1000)} s`, 'TimeoutError'));
  }, ms);
  timer.unref();
  for (const source of sources) source.addEventListener('abort', onAbort);
  const aborted = sources.find((source) => source.aborted);
  if (aborted !== undefined) end(aborted.reason);
  return controller.signal;
};

/** The promise's own outcome, or the signal's reason, whichever comes first. */
export const within = <T>(signal: AbortSignal, promise: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
