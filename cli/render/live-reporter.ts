import type { OperationEvent } from '../../core/api/contract/types.ts';
import type { Colors } from './colors.ts';
import { formatDuration } from './duration.ts';
import { plainLine } from './plain-text.ts';
import type { Reporter } from './reporter.ts';

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;

/** Carriage return, then erase to the end of the line (ECMA-48 EL). */
const clearLine = '\r\u001b[K';

/** Below this a stage is not worth naming in the summary, milliseconds. */
const noteworthyMs = 50;

/** For terminals: one line that changes, and one that stays when it is through. */
export class LiveReporter implements Reporter {
  readonly #stream: NodeJS.WriteStream;
  readonly #colors: Colors;
  readonly #started = performance.now();
  readonly #running = new Map<string, number>();
  readonly #finished: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #text = '';
  #frame = 0;

  constructor(stream: NodeJS.WriteStream, colors: Colors) {
    this.#stream = stream;
    this.#colors = colors;
    this.#timer = setInterval(() => {
      this.#draw();
    }, frameMs);
    this.#timer.unref();
  }

  event(event: OperationEvent): void {
    if (event.type === 'stage') this.#stage(event);
    else if (event.type === 'progress') this.#text = plainLine(event.text);
    else if (event.type === 'notice') this.note(event.text);
    else if (event.operation.state === 'done') this.#summary();
    else this.close();
  }

  note(text: string): void {
    this.#stream.write(`${clearLine}${plainLine(text)}\n`);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#stream.write(clearLine);
  }

  #stage({ stage, status, durationMs }: Extract<OperationEvent, { type: 'stage' }>): void {
    this.#text = '';
    if (status === 'started') {
      this.#running.set(stage, performance.now());
      return;
    }
    const took = durationMs ?? performance.now() - (this.#running.get(stage) ?? this.#started);
    this.#running.delete(stage);
    if (status === 'failed') this.note(`${this.#colors.red('✗')} ${stage} failed`);
    else if (took >= noteworthyMs) this.#finished.push(`${stage} ${formatDuration(took)}`);
  }

  #summary(): void {
    clearInterval(this.#timer);
    if (this.#finished.length === 0) return;
    const total = formatDuration(performance.now() - this.#started);
    const stages = this.#colors.dim(this.#finished.join(' · '));
    this.#stream.write(`${clearLine}${this.#colors.green('✓')} ${total}  ${stages}\n`);
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % frames.length;
    const now = performance.now();
    const stages = [...this.#running].map(
      ([stage, since]) => `${stage} ${formatDuration(now - since)}`,
    );
    const line = [...(stages.length === 0 ? ['…'] : stages), this.#text]
      .filter((part) => part !== '')
      .join(' · ');
    // One row only: a wrapped line could not be taken back.
    const cut = line.slice(0, Math.max(10, this.#stream.columns - 3));
    this.#stream.write(`${clearLine}${this.#colors.cyan(frames[this.#frame] ?? '')} ${cut}`);
  }
}
