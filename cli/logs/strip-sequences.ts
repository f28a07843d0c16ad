import { StringDecoder } from 'node:string_decoder';

type State = 'text' | 'escape' | 'csi' | 'string' | 'string-escape';

const escape = '\u001b';

/**
 * Takes escape sequences (ECMA-48) and control characters out of a stream, also where one is cut in two.
 * Newlines and tabs stay.
 */
export class SequenceStripper {
  readonly #decoder = new StringDecoder('utf8');
  #state: State = 'text';

  push(chunk: Buffer): string {
    let out = '';
    for (const char of this.#decoder.write(chunk)) {
      if (this.#state !== 'text') this.#state = next(this.#state, char);
      else if (char === escape) this.#state = 'escape';
      else if (char === '\u009b') this.#state = 'csi';
      else if (isPrintable(char)) out += char;
    }
    return out;
  }
}

const isPrintable = (char: string): boolean =>
  char === '\n' || char === '\t' || (char >= ' ' && !(char >= '\u007f' && char <= '\u009f'));

const next = (state: Exclude<State, 'text'>, char: string): State => {
  if (state === 'escape') {
    if (char === '[') return 'csi';
    // OSC, DCS, SOS, PM and APC run up to BEL or ST.
    if (']PX^_'.includes(char)) return 'string';
    // Intermediate bytes, as in `ESC ( B`.
    return char >= ' ' && char <= '/' ? 'escape' : 'text';
  }
  if (state === 'csi') return char >= '@' && char <= '~' ? 'text' : 'csi';
  if (state === 'string-escape') return 'text';
  if (char === '\u0007' || char === '\u009c') return 'text';
  return char === escape ? 'string-escape' : 'string';
};
