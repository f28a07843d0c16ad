/**
 * Interactive streams. `POST /v1/vms/:name/exec` with `Connection: Upgrade`, `Upgrade: banger-exec/1` and
 * the request in the header `Banger-Exec` (base64url of the JSON) is answered 101, then both sides
 * send frames: type (1 byte), length of the body (4 bytes, big-endian, at most 1 MiB), body.
 */
export const execUpgrade = 'banger-exec/1';
export const execHeader = 'banger-exec';

export const execFrame = {
  /** Client to daemon. */
  stdin: 0x01,
  stdinEnd: 0x02,
  /** Signal number, 1 byte. */
  signal: 0x03,
  /** Rows and columns, 2 bytes each. */
  resize: 0x04,
  /** Daemon to client. */
  stdout: 0x11,
  stderr: 0x12,
  /** Kind (0 exit code, 1 signal) and value, 1 byte each. The last frame. */
  exit: 0x13,
  /** An ErrorBody as JSON. The last frame. */
  error: 0x14,
  /** That many bytes of stdin (4 bytes, big-endian) were taken by the guest. */
  window: 0x15,
} as const;

export const execMaxBody = 1024 * 1024;

/**
 * A client stops sending stdin while this many bytes are not taken; the frame that gets there may go past
 * it. So the daemon can always read on: a signal, and the client's end, never wait behind a guest that
 * does not read.
 */
export const execWindow = 256 * 1024;

export const encodeExecFrame = (type: number, body: Uint8Array = new Uint8Array()): Buffer => {
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, 5);
  return frame;
};

/** Cuts a byte stream into frames. @throws RangeError on a body over the limit */
export class ExecFrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): { type: number; body: Buffer }[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: { type: number; body: Buffer }[] = [];
    while (this.#pending.length >= 5) {
      const length = this.#pending.readUInt32BE(1);
      if (length > execMaxBody) throw new RangeError(`exec frame of ${String(length)} bytes`);
      if (this.#pending.length < 5 + length) break;
      frames.push({
        type: this.#pending.readUInt8(0),
        body: this.#pending.subarray(5, 5 + length),
      });
      this.#pending = this.#pending.subarray(5 + length);
    }
    return frames;
  }
}
