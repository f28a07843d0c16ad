// Frames as PROTOCOL.md describes them. What comes from the guest is hostile until it is decoded.

import { decode, encodeInto, encodedSize } from './cobs.ts';

export const ID_SIZE = 8;
export const BODY_MAX = 32_768;
const HEADER_SIZE = ID_SIZE + 1;
const ENCODED_MAX = encodedSize(HEADER_SIZE + BODY_MAX);

export const FrameType = {
  open: 0x01,
  stdin: 0x02,
  stdinEof: 0x03,
  signal: 0x04,
  resize: 0x05,
  close: 0x06,
  stdout: 0x11,
  stderr: 0x12,
  exit: 0x13,
  error: 0x14,
  reply: 0x15,
  ack: 0x16,
  closed: 0x17,
  opened: 0x18,
  restarted: 0x19,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  readonly id: Buffer;
  readonly type: number;
  readonly body: Buffer;
}

/** What no session has: it stands for whatever runs on the stream. */
export const NOBODY = Buffer.alloc(ID_SIZE);

/** Ends half a frame that an earlier client of the stream has left behind. */
export const RESYNC = Buffer.alloc(1);

export function encodeFrame(
  id: Uint8Array,
  type: FrameType,
  body: Uint8Array = RESYNC.subarray(1),
): Buffer {
  if (id.length !== ID_SIZE || body.length > BODY_MAX) throw new RangeError('not a frame');
  const payload = Buffer.allocUnsafe(HEADER_SIZE + body.length);
  payload.set(id, 0);
  payload[ID_SIZE] = type;
  payload.set(body, HEADER_SIZE);
  const out = Buffer.allocUnsafe(encodedSize(payload.length) + 1);
  const end = encodeInto(payload, out, 0);
  out[end] = 0;
  return out.subarray(0, end + 1);
}

/** Cuts a stream into frames. Holds at most one; drops what is malformed or too long. */
export class FrameDecoder {
  readonly #held = Buffer.allocUnsafe(ENCODED_MAX);
  #size = 0;
  #overflow = false;

  *push(chunk: Uint8Array): Generator<Frame> {
    let from = 0;
    while (from < chunk.length) {
      const zero = chunk.indexOf(0, from);
      this.#hold(chunk.subarray(from, zero < 0 ? chunk.length : zero));
      if (zero < 0) return;
      from = zero + 1;
      const frame = this.#take();
      if (frame) yield frame;
    }
  }

  #hold(part: Uint8Array): void {
    if (part.length > ENCODED_MAX - this.#size) this.#overflow = true;
    if (this.#overflow) return;
    this.#held.set(part, this.#size);
    this.#size += part.length;
  }

  #take(): Frame | undefined {
    const payload = this.#overflow ? undefined : decode(this.#held.subarray(0, this.#size));
    this.#size = 0;
    this.#overflow = false;
    if (!payload || payload.length < HEADER_SIZE || payload.length > HEADER_SIZE + BODY_MAX)
      return undefined;
    return {
      id: payload.subarray(0, ID_SIZE),
      type: payload[ID_SIZE] ?? 0,
      body: payload.subarray(HEADER_SIZE),
    };
  }
}
