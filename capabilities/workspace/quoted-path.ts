/**
 * Paths as git prints and reads them (core.quotePath=true): as they are, or in double quotes with C's escapes, so
 * that bytes which are no UTF-8, and newlines, pass through text. See quote.c in git.
 */
const escapes: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  '"': 34,
  '\\': 92,
};

/** @throws Error for what git never prints */
export const unquotePath = (text: string): Buffer => {
  if (!text.startsWith('"')) return Buffer.from(text);
  const bytes: number[] = [];
  let at = 1;
  for (; at < text.length - 1; at++) {
    if (text[at] !== '\\') {
      bytes.push(...Buffer.from(String.fromCodePoint(text.codePointAt(at) ?? 0)));
      if ((text.codePointAt(at) ?? 0) > 0xffff) at++;
      continue;
    }
    const octal = /^[0-3][0-7]{2}/.exec(text.slice(at + 1, at + 4))?.[0];
    const escape = escapes[text[at + 1] ?? ''];
    if (octal !== undefined) {
      bytes.push(parseInt(octal, 8));
      at += 3;
    } else if (escape !== undefined) {
      bytes.push(escape);
      at++;
    } else throw new Error(`no path of git's: ${text.slice(0, 200)}`);
  }
  if (at !== text.length - 1 || text[at] !== '"')
    throw new Error(`no path of git's: ${text.slice(0, 200)}`);
  return Buffer.from(bytes);
};

/** For files that git reads, its configuration among them. */
export const inQuotes = (path: string): string =>
  `"${path.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;

/** Where quotes are part of a plain path: only one with a quote, a backslash or a newline has them. */
export const quotePath = (path: string): string => (/["\\\n]/.test(path) ? inQuotes(path) : path);
