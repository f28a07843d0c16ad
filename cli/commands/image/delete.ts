import type { Cli } from '../../cli.ts';
import { printError } from '../../render/print-error.ts';
import { runAction } from '../action.ts';

/** One after the other; each that fails says so, and the last failure is the exit code. */
export const deleteImages = async (cli: Cli, names: readonly string[]): Promise<void> => {
  for (const name of names) {
    try {
      await runAction(cli, 'images', 'delete', { name });
      if (!cli.isQuiet) cli.say(`image '${name}' was deleted`);
    } catch (error) {
      cli.exitCode = printError(cli, error);
    }
  }
};
