import type { OperationEvent } from '../../core/api/contract/types.ts';
import { formatDuration } from './duration.ts';
import { plainLine } from './plain-text.ts';
import type { Reporter } from './reporter.ts';

/** A log is no terminal: what a long stage is about once in a while, not at each step. */
const progressEveryMs = 5_000;

/** For pipes and logs: a line per stage that is through. */
export class LineReporter implements Reporter {
  readonly #say: (line: string) => void;
  readonly #prefix: string;
  #lastProgress = performance.now();

  constructor(say: (line: string) => void, label?: string) {
    this.#say = say;
    this.#prefix = label === undefined ? '' : `${label}: `;
  }

  event(event: OperationEvent): void {
    if (event.type === 'stage') this.#stage(event);
    else if (event.type === 'progress') this.#progress(event);
    else if (event.type === 'notice') this.note(event.text);
  }

  note(text: string): void {
    this.#say(`${this.#prefix}${plainLine(text)}`);
  }

  close(): void {
    // Nothing to take back.
  }

  #stage({ stage, status, durationMs }: Extract<OperationEvent, { type: 'stage' }>): void {
    if (status === 'started') return;
    const time = durationMs === undefined ? '' : ` (${formatDuration(durationMs)})`;
    this.note(`${stage}: ${status}${time}`);
  }

  #progress({ stage, text }: Extract<OperationEvent, { type: 'progress' }>): void {
    const now = performance.now();
    if (now - this.#lastProgress < progressEveryMs) return;
    this.#lastProgress = now;
    this.note(stage === null ? text : `${stage}: ${text}`);
  }
}
