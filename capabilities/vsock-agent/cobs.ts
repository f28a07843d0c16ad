// Consistent Overhead Byte Stuffing (Cheshire & Baker, 1999): no zero byte in the encoded form.

const RUN_MAX = 0xff;

export function encodedSize(size: number): number {
  return size + Math.floor(size / (RUN_MAX - 1)) + 1;
}

/** Encodes into `out` from `at`; returns the end. `out` has room for `encodedSize(data.length)`. */
export function encodeInto(data: Uint8Array, out: Uint8Array, at: number): number {
  let codeAt = at;
  let end = at + 1;
  let code = 1;
  for (let i = 0; i < data.length; i++) {
    const byte = data[i] ?? 0;
    if (byte !== 0) {
      out[end++] = byte;
      code++;
    }
    if (byte === 0 || (code === RUN_MAX && i + 1 < data.length)) {
      out[codeAt] = code;
      codeAt = end++;
      code = 1;
    }
  }
  out[codeAt] = code;
  return end;
}

export function encode(data: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(encodedSize(data.length));
  return out.subarray(0, encodeInto(data, out, 0));
}

/** Undefined where a run reaches beyond the end, or a zero is inside. */
export function decode(data: Uint8Array): Buffer | undefined {
  const out = Buffer.allocUnsafe(data.length);
  let from = 0;
  let to = 0;
  while (from < data.length) {
    const code = data[from++] ?? 0;
    if (code === 0 || code - 1 > data.length - from) return undefined;
    out.set(data.subarray(from, from + code - 1), to);
    to += code - 1;
    from += code - 1;
    if (code !== RUN_MAX && from < data.length) out[to++] = 0;
  }
  return out.subarray(0, to);
}
