import { StringDecoder } from 'node:string_decoder';
import { plainLine } from '../render/plain-text.ts';

/** https://github.com/pinojs/pino/blob/main/docs/api.md#loggerlevels-object */
const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** pino's JSON lines as lines for people; what is no such line goes through. */
export class PinoRenderer {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  push(chunk: Buffer): string {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines.map((line) => `${plainLine(readable(line))}\n`).join('');
  }
}

/** Not by String(): a value may bring a `toString` that is none. */
const shown = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);

const readable = (line: string): string => {
  if (!line.startsWith('{')) return line;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    const { time, level, msg, ...rest } = entry;
    const date = typeof time === 'number' ? new Date(time) : undefined;
    // A number may still be no date.
    const at = date === undefined || isNaN(date.getTime()) ? shown(time) : date.toISOString();
    const facts = Object.entries(rest)
      .filter(([key]) => key !== 'pid' && key !== 'hostname')
      .map(([key, value]) => `${key}=${shown(value)}`);
    const name = typeof level === 'number' ? (levels[level] ?? String(level)) : shown(level);
    return [at, name.padEnd(5), typeof msg === 'string' ? msg : '', ...facts].join(' ');
  } catch (error) {
    if (error instanceof SyntaxError) return line;
    throw error;
  }
};
