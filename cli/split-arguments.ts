/**
 * What stands before the first `--` is ours, what follows is a guest's command. It is cut here because
 * commander joins both into one list of operands, and `vm run -- ls` must not read like `vm run ls`.
 */
export const splitArguments = (
  argv: readonly string[],
): { own: string[]; command: string[] | undefined } => {
  const at = argv.indexOf('--');
  return at === -1
    ? { own: [...argv], command: undefined }
    : { own: argv.slice(0, at), command: argv.slice(at + 1) };
};
