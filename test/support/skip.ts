import { describe, it } from 'vitest';
import type { Reason } from './reasons.ts';

export { firstOf, needsRoot, needsTools } from './reasons.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** Why this machine cannot run it; counts-reporter.ts prints it. */
    skipReason?: string;
  }
}

const options = (reason: Reason) =>
  reason === undefined ? {} : { skip: true, meta: { skipReason: reason } };

/** `describe`, save that the whole suite (hooks too) is skipped for `reason`, which the report names. */
export const describeUnless = (reason: Reason, name: string, body: () => void): void => {
  describe(name, options(reason), body);
};

export const itUnless = (
  reason: Reason,
  name: string,
  body: () => void | Promise<void>,
  timeout?: number,
): void => {
  it(name, { ...options(reason), ...(timeout === undefined ? {} : { timeout }) }, body);
};
