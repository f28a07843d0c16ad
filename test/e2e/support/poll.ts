import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks until the answer is not undefined.
 * @param everyMs or more, so that asking takes a fifth of the time at most: who answers may have but one slow CPU
 * @throws Error that names what did not come
 */
export const pollUntil = async <T>(
  what: string,
  deadlineMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  everyMs = 50,
): Promise<T> => {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const asked = performance.now();
    const answer = await ask();
    if (answer !== undefined) return answer;
    const now = performance.now();
    if (now > deadline) throw new Error(`not within ${deadlineMs / 1000} s: ${what}`);
    await delay(Math.max(everyMs, 4 * (now - asked)));
  }
};
