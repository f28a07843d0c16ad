/** Whether a POSIX shell takes it for one word as it stands, and so do ssh's configuration files. */
export const isPlainWord = (text: string): boolean => /^[\w@+=:,./-]+$/.test(text);

/** For a POSIX shell; one that needs no quotes has none. */
export const shellWord = (text: string): string =>
  isPlainWord(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
