import { formatSize } from '../size.ts';
import type { OperationContext } from './context.ts';

/** Tells how many bytes of how many are through; `total` undefined where nobody knows. */
export const byteProgress =
  ({ progress }: Pick<OperationContext, 'progress'>) =>
  (bytes: number, total: number | undefined): void => {
    if (total === undefined) {
      progress({ text: formatSize(bytes) });
      return;
    }
    const fraction = total === 0 ? 1 : Math.min(1, bytes / total);
    const percent = Math.floor(fraction * 100);
    progress({
      text: `${formatSize(bytes)} of ${formatSize(total)} (${String(percent)} %)`,
      fraction,
    });
  };
