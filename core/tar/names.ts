import type { Header } from 'tar-stream';

/**
 * A pax record is UTF-8, and a file's name may be any bytes: one that is no UTF-8 goes in hexadecimal. The agent does the
 * same, see PROTOCOL.md there.
 */
const rawName = 'BANGER.name';
const rawLink = 'BANGER.link';
/** Bytes of all files, on the first entry of a guest's tar. */
const totalBytes = 'BANGER.total';

const isUtf8 = (bytes: Buffer): boolean => Buffer.from(bytes.toString('utf8')).equals(bytes);

/** The header fields that carry these names. */
export const encodeNames = (
  name: Buffer,
  link?: Buffer,
): { name: string; linkname?: string; pax?: Record<string, string> } => {
  const pax: Record<string, string> = {};
  const text = (bytes: Buffer, key: string): string => {
    if (isUtf8(bytes)) return bytes.toString('utf8');
    pax[key] = bytes.toString('hex');
    return 'not-utf-8';
  };
  const names = {
    name: name.length === 0 ? '.' : text(name, rawName),
    ...(link === undefined ? {} : { linkname: text(link, rawLink) }),
  };
  return Object.keys(pax).length === 0 ? names : { ...names, pax };
};

/** A record of an entry that came, where it has that one. */
const recordOf = ({ pax }: Header, key: string): string | undefined => {
  const value: unknown =
    typeof pax === 'object' && pax !== null ? Reflect.get(pax, key) : undefined;
  return typeof value === 'string' ? value : undefined;
};

const decode = (text: string | null, raw: string | undefined): Buffer | undefined => {
  if (raw === undefined) return Buffer.from(text ?? '');
  return /^(?:[0-9a-f]{2})+$/.test(raw) ? Buffer.from(raw, 'hex') : undefined;
};

const slash = 0x2f;
/** NAME_MAX and PATH_MAX of Linux, bytes. */
const partMax = 255;
const nameMax = 4095;

/**
 * The parts of an entry's name, none for the tree's root.
 * @returns undefined for what leads out of the folder, or is no name at all
 */
export const decodeName = (header: Header): Buffer[] | undefined => {
  const bytes = decode(header.name, recordOf(header, rawName));
  if (bytes === undefined || bytes.length > nameMax || bytes[0] === slash || bytes.includes(0))
    return undefined;
  const parts: Buffer[] = [];
  for (let at = 0; at <= bytes.length;) {
    const found = bytes.indexOf(slash, at);
    const end = found === -1 ? bytes.length : found;
    const part = bytes.subarray(at, end);
    const text = part.toString('latin1');
    if (text === '..' || part.length > partMax) return undefined;
    if (text !== '' && text !== '.') parts.push(part);
    at = end + 1;
  }
  return parts;
};

/** Where a symlink leads, as it is. */
export const decodeLink = (header: Header): Buffer | undefined => {
  const bytes = decode(header.linkname, recordOf(header, rawLink));
  const isLink = bytes !== undefined && bytes.length > 0 && bytes.length <= nameMax;
  return isLink && !bytes.includes(0) ? bytes : undefined;
};

/** @returns undefined where the tar does not say it */
export const decodeTotal = (header: Header): number | undefined => {
  const total = Number(recordOf(header, totalBytes) ?? NaN);
  return Number.isSafeInteger(total) && total >= 0 ? total : undefined;
};

/** For messages: whoever prints them strips what a terminal must not see. */
export const showName = (parts: readonly Buffer[]): string =>
  parts.map((part) => part.toString('utf8')).join('/');
