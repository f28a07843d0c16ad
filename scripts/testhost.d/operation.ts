import type { OperationContext } from '../../core/operation/context.ts';
import { silentLog } from '../../test/support/silent-log.ts';

/** What the product's builders ask for, with progress as lines. */
export const operationOf = (
  kind: string,
  signal: AbortSignal,
  say: (line: string) => void,
): OperationContext => ({
  id: kind,
  kind,
  signal,
  log: silentLog,
  progress: ({ text }) => {
    say(text);
  },
  notice: say,
});
