import type { Session } from './session.ts';

export type StdinSource = Uint8Array | AsyncIterable<Uint8Array>;

/** Writes the source and its end, and stops reading it when the session is over. */
export async function feedStdin(session: Session, source: StdinSource): Promise<void> {
  if (source instanceof Uint8Array) await session.write(source);
  else await feedFrom(session, source);
  session.endStdin();
}

async function feedFrom(session: Session, source: AsyncIterable<Uint8Array>): Promise<void> {
  const chunks = source[Symbol.asyncIterator]();
  let over = false;
  let interrupt = (): void => {};
  const end = (): void => {
    over = true;
    interrupt();
  };
  session.result.then(end, end);
  // A source that never yields again must not hold the session's end up.
  const orOver = <T>(step: () => Promise<T> | undefined): Promise<T | undefined> =>
    new Promise((resolve, reject) => {
      interrupt = () => resolve(undefined);
      if (over) interrupt();
      else (step() ?? Promise.resolve(undefined)).then(resolve, reject);
    });
  for (;;) {
    const next = await orOver(() => chunks.next());
    if (next?.done) return;
    if (next && (await session.write(next.value))) continue;
    const ended = chunks.return?.();
    await orOver(() => ended);
    return;
  }
}
