/** Terminals that are known to take OSC 8 (https://github.com/Alhadis/OSC8-Adoption), by what they say of themselves. */
const programs: ReadonlySet<string> = new Set([
  'ghostty',
  'Hyper',
  'iTerm.app',
  'mintty',
  'rio',
  'Tabby',
  'vscode',
  'WezTerm',
]);
const terminals = /^(alacritty|contour|foot|xterm-ghostty|xterm-kitty|wezterm)/;
/** VTE crashed on them before 0.50. */
const vteSince = 5000;

/** One that is not known would perhaps print the sequence. FORCE_HYPERLINK says that it does not, or that it does. */
export const takesHyperlinks = (isTerminal: boolean, env: NodeJS.ProcessEnv): boolean => {
  const forced = env['FORCE_HYPERLINK'] ?? '';
  if (forced !== '') return forced !== '0';
  if (!isTerminal || env['TERM'] === 'dumb') return false;
  return (
    programs.has(env['TERM_PROGRAM'] ?? '') ||
    terminals.test(env['TERM'] ?? '') ||
    Number(env['VTE_VERSION'] ?? 0) >= vteSince ||
    (env['WT_SESSION'] ?? '') !== '' ||
    (env['KONSOLE_VERSION'] ?? '') !== ''
  );
};

/** Text that leads to an address. Neither may have a control character in it. */
export const hyperlink = (text: string, address: string): string =>
  `\u001b]8;;${address}\u001b\\${text}\u001b]8;;\u001b\\`;
