import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is not undefined. @throws Error that names what did not come */
export const pollUntil = async <T>(
  what: string,
  deadlineMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  everyMs = 50,
): Promise<T> => {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs / 1000} s: ${what}`);
    await delay(everyMs);
  }
};
