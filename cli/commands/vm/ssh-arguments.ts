/** Letters of ssh(1)'s options that take an argument. */
const withArgument = 'BbcDEeFIiJLlmOoPpQRSWw';

/**
 * Cuts what the user wrote after the VM's name into ssh's options and the command: options must stand
 * before ours, since ssh takes the first value that it is given.
 */
export const cutSshArguments = (
  words: readonly string[],
): { options: readonly string[]; command: readonly string[] } => {
  let at = 0;
  while (at < words.length) {
    const word = words[at] ?? '';
    if (!word.startsWith('-') || word === '-') break;
    // `-p 22` is two words, `-p22` and `-vvp22` one; the first letter with an argument takes the rest.
    const letter = Array.from(word.slice(1)).findIndex((each) => withArgument.includes(each));
    at += letter !== -1 && letter === word.length - 2 ? 2 : 1;
  }
  return { options: words.slice(0, at), command: words.slice(at) };
};
