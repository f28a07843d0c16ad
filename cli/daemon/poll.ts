import { setTimeout as delay } from 'node:timers/promises';

/** Asks until the answer is not undefined. @returns undefined past the deadline */
export const poll = async <T>(
  ask: () => T | undefined | Promise<T | undefined>,
  deadlineMs: number,
  everyMs = 25,
): Promise<T | undefined> => {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || performance.now() > end) return answer;
    await delay(everyMs);
  }
};
