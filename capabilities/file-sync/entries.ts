import { join, normalize } from 'node:path';
import { z } from '../../core/plugin-api/index.ts';

/** Below one of these prefixes, and something: no `..`, which would lead out again, and no NUL, which ends a path. */
const isBelow = (path: string, prefixes: readonly string[]): boolean => {
  const prefix = prefixes.find((each) => path.startsWith(each));
  if (prefix === undefined || path.includes('\0')) return false;
  const parts = path.slice(prefix.length).split('/');
  return !parts.includes('..') && parts.some((part) => part !== '' && part !== '.');
};

const hostPath = z.string().refine((path) => isBelow(path, ['~/', '/']), {
  error: 'a path below ~/ or an absolute one, without ..',
});

const guestPath = z.string().refine((path) => isBelow(path, ['~/', '/root/']), {
  error: 'a path below ~/ or /root/, without ..',
});

const mode = z.string().regex(/^0?[0-7]{3}$/, {
  error: 'octal permissions in quotes, such as "0600" or "755"',
});

/** `[[file_sync]]` in config.toml. */
export const fileSyncConfig = z
  .array(
    z.strictObject({
      /** A file or folder; `~` is the home of the user whose daemon it is. */
      host: hostPath,
      guest: guestPath,
      /** Of a file; a folder's files keep their own. */
      mode: mode.default('0600'),
    }),
  )
  .default([]);

export type FileSyncEntry = z.output<typeof fileSyncConfig>[number];

const expand = (path: string, home: string): string => {
  const whole = normalize(path.startsWith('~/') ? join(home, path.slice(2)) : path);
  return whole.endsWith('/') ? whole.slice(0, -1) : whole;
};

/** Absolute paths and the mode as a number. */
export const resolveEntry = (
  { host, guest, mode: text }: FileSyncEntry,
  home: string,
): { source: string; path: string; fileMode: number } => ({
  source: expand(host, home),
  path: expand(guest, '/root'),
  fileMode: Number.parseInt(text, 8),
});
