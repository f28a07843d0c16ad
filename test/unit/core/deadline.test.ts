import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { deadlineSignal } from '../../../core/deadline.ts';

/** Node hands it out only to who asks for it before. */
const collectGarbage = (): (() => void) => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
};

describe('deadlineSignal', () => {
  it('comes, though nobody holds it but its listener, and whatever the collector does', async () => {
    const gc = collectGarbage();
    const controller = new AbortController();
    const came = new Promise<unknown>((resolve) => {
      const signal = deadlineSignal(150, deadlineSignal(60_000, controller.signal));
      signal.addEventListener('abort', () => {
        resolve(signal.reason);
      });
    });
    for (let count = 0; count < 5; count++) {
      gc();
      await delay(10);
    }
    expect(await came).toMatchObject({ name: 'TimeoutError' });
  });

  it('comes with the first of its signals, and has its reason', () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const signal = deadlineSignal(60_000, first.signal, undefined, second.signal);
    expect(signal.aborted).toBe(false);
    second.abort('why');
    first.abort('later');
    expect(signal.reason).toBe('why');
  });

  it('is there at once where one of its signals is', () => {
    expect(deadlineSignal(60_000, AbortSignal.abort('before')).reason).toBe('before');
  });
});
