import type { ReadStream } from 'node:tty';

export interface RawTerminal {
  size(): { rows: number; columns: number };
  onResize(listener: () => void): void;
  restore(): void;
}

/** Until `restore`, keys reach the guest as they are pressed, Ctrl-C too. */
export const enterRawMode = (stdin: ReadStream): RawTerminal => {
  stdin.setRawMode(true);
  const restore = (): void => {
    if (stdin.isRaw) stdin.setRawMode(false);
  };
  // The shell that stopped us has put its own mode in the place of ours.
  const onContinue = (): void => {
    stdin.setRawMode(false);
    stdin.setRawMode(true);
  };
  let onResize: (() => void) | undefined;
  process.once('exit', restore);
  process.on('SIGCONT', onContinue);
  return {
    size: () => ({ rows: process.stdout.rows, columns: process.stdout.columns }),
    onResize: (listener) => {
      onResize = listener;
      process.stdout.on('resize', listener);
    },
    restore: () => {
      restore();
      process.off('exit', restore);
      process.off('SIGCONT', onContinue);
      if (onResize !== undefined) process.stdout.off('resize', onResize);
    },
  };
};
