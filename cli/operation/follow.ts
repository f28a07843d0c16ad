import type { Operation } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { CliError, errorOf, interruptedError } from '../error.ts';
import { createReporter, type Reporter } from '../render/reporter.ts';
import { operationEvents } from './events.ts';

/** For operations that make or start a VM. */
export const startUndone = 'The start was undone; see `banger vm list`.';

interface FollowOptions {
  /** Ctrl-C undoes what this command began, and not only ends the watching. */
  readonly isCancellable?: boolean;
  /** What a cancelled one leaves, for the person who did it; default: that its work was undone. */
  readonly afterCancel?: string;
  /** Nothing but errors. */
  readonly isQuiet?: boolean;
  /** Several operations at once: each line says whose it is. */
  readonly label?: string;
}

/** Shows an operation's stages until its end. @throws CliError where it failed or was interrupted */
export const follow = async (
  cli: Cli,
  operation: Pick<Operation, 'id'>,
  options: FollowOptions = {},
): Promise<Operation> => {
  const reporter = createReporter(cli, options.isQuiet === true, options.label);
  const interrupts = watchInterrupts(cli, operation.id, options, reporter);
  try {
    for await (const event of operationEvents(cli.client, operation.id, interrupts.leave)) {
      reporter.event(event);
      if (event.type !== 'end') continue;
      assertDone(event.operation, interrupts.hasCancelled(), options.afterCancel);
      return event.operation;
    }
  } catch (error) {
    interrupts.leave.throwIfAborted();
    throw error;
  } finally {
    interrupts.stop();
    reporter.close();
  }
  throw new Error('the events of an operation ended without `end`');
};

const assertDone = (
  operation: Operation,
  hasCancelled: boolean,
  afterCancel = 'What it had done by then was undone.',
): void => {
  if (operation.state === 'done') return;
  if (hasCancelled && operation.state === 'cancelled')
    throw interruptedError('cancelled', afterCancel);
  throw operation.error === null
    ? new CliError({
        code: 'OPERATION_CANCELLED',
        message: `${operation.kind} was cancelled`,
        remedy: 'Run the command again if that was not meant.',
        operationId: operation.id,
      })
    : errorOf(operation.error);
};

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The first interrupt cancels where that is asked for, the next leaves at once. */
const watchInterrupts = (
  cli: Cli,
  id: string,
  options: FollowOptions,
  reporter: Reporter,
): { leave: AbortSignal; hasCancelled: () => boolean; stop: () => void } => {
  const leaving = new AbortController();
  let hasCancelled = false;
  const leave = (): void => {
    leaving.abort(interruptedError('left', 'The daemon goes on with it: see `banger vm list`.'));
  };
  const onSignal = (): void => {
    if (hasCancelled || options.isCancellable !== true) {
      leave();
      return;
    }
    hasCancelled = true;
    reporter.note('cancelling; Ctrl-C again leaves it to the daemon');
    cli.client.delete(`/v1/operations/${id}`).catch((error: unknown) => {
      // What the daemon refuses is over already, and its end tells.
      if (!(error instanceof CliError)) leave();
    });
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    leave: leaving.signal,
    hasCancelled: () => hasCancelled,
    stop: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
};
