/** Apart from what does it, so that a plugin's types bring no tar library along. */
export interface UnpackOptions {
  /** Absolute. */
  readonly path: string;
  /** Where `path` is a folder already, its entry of this name is meant. */
  readonly name?: string | undefined;
  /** The most that is taken: bytes of the tar, its headers with it. */
  readonly limitBytes: number;
  /** `total` where the tar has told it. */
  onBytes?(bytes: number, total: number | undefined): void;
  onNote?(text: string): void;
}

export interface Unpacked {
  readonly path: string;
  readonly kind: 'file' | 'folder';
  readonly files: number;
  readonly bytes: number;
}
