const tilde = 0x7e;
const dot = 0x2e;
const isLineEnd = (byte: number): boolean => byte === 0x0d || byte === 0x0a;

/**
 * ssh's way out of a terminal session that hangs: `~.` at the beginning of a line. A tilde that
 * something else follows goes through, two of them as one.
 */
export class EscapeDetector {
  #isLineStart = true;
  #hasTilde = false;

  /** @returns what is for the guest, and whether the way out was taken */
  push(chunk: Uint8Array): { bytes: Uint8Array; isLeaving: boolean } {
    const bytes: number[] = [];
    for (const byte of chunk) {
      if (this.#hasTilde) {
        this.#hasTilde = false;
        if (byte === dot) return { bytes: Uint8Array.from(bytes), isLeaving: true };
        if (byte !== tilde) bytes.push(tilde);
      } else if (byte === tilde && this.#isLineStart) {
        this.#hasTilde = true;
        continue;
      }
      bytes.push(byte);
      this.#isLineStart = isLineEnd(byte);
    }
    return { bytes: Uint8Array.from(bytes), isLeaving: false };
  }
}
