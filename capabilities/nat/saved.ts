/** A rule as iptables-save prints it, with its table and what its `--comment`s say. */
export interface SavedRule {
  readonly table: string;
  /** `-A CHAIN …` */
  readonly rule: string;
  readonly comments: readonly string[];
}

/**
 * A line's words, as iptables-restore cuts them: what has other characters than letters, digits, `_` and
 * `-` stands in double quotes, with a backslash before `"`, `'` and `\` (xtables_save_string).
 */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, quoted, plain]) => quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '',
  );

/** Lines, but for line breaks within quotes: a comment may have them. */
const linesOf = (text: string): string[] =>
  text.match(/(?:"(?:[^"\\]|\\[^])*"|[^"\n])+/g) ?? [];

/** What iptables-save printed, as far as it carries a comment. */
export const parseSaved = (text: string): SavedRule[] => {
  let table = '';
  return linesOf(text).flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1).trim();
    if (!line.startsWith('-A ')) return [];
    const words = wordsOf(line);
    const comments = words.filter((_, index) => words[index - 1] === '--comment');
    return comments.length === 0 ? [] : [{ table, rule: line, comments }];
  });
};

/** Deletes exactly those rules: the lines as they were printed, with -D for -A. */
export const deletion = (rules: readonly SavedRule[]): string =>
  [...new Set(rules.map(({ table }) => table))]
    .flatMap((table) => [
      `*${table}`,
      ...rules
        .filter((rule) => rule.table === table)
        .map(({ rule }) => rule.replace(/^-A /, '-D ')),
      'COMMIT',
    ])
    .join('\n') + '\n';
