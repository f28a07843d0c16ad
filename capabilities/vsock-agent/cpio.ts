/** One entry of an initrd. Folders come before what is in them. */
export interface CpioEntry {
  /** Without a leading slash. */
  readonly name: string;
  /** With the file type, for example 0o100644 or 0o040755. */
  readonly mode: number;
  readonly data?: Uint8Array;
}

const hex = (value: number): string => value.toString(16).padStart(8, '0').toUpperCase();

const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

const encodeEntry = (
  { name, mode, data = new Uint8Array() }: CpioEntry,
  inode: number,
): Buffer[] => {
  const nameBytes = Buffer.from(`${name}\0`);
  const header = [
    inode,
    mode,
    0, // uid
    0, // gid
    1, // links
    0, // mtime: the same inputs give the same initrd
    data.length,
    0, // device, major and minor
    0,
    0,
    0,
    nameBytes.length,
    0, // checksum: unused in this format
  ];
  const head = Buffer.concat([Buffer.from(`070701${header.map(hex).join('')}`), nameBytes]);
  return [head, padding(head.length), Buffer.from(data), padding(data.length)];
};

/** An archive in the "newc" format, Documentation/driver-api/early-userspace/buffer-format.rst. */
export const encodeCpio = (entries: readonly CpioEntry[]): Buffer =>
  Buffer.concat(
    [...entries, { name: 'TRAILER!!!', mode: 0 }].flatMap((entry, index) =>
      encodeEntry(entry, index + 1),
    ),
  );
