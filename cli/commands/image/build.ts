import type { Cli } from '../../cli.ts';
import { runAction } from '../action.ts';

export interface BuildOptions {
  readonly rebuild?: boolean | undefined;
}

export const buildImage = async (cli: Cli, name: string, options: BuildOptions): Promise<void> => {
  const result = await runAction(cli, 'images', 'build', {
    name,
    rebuild: options.rebuild === true,
  });
  if (cli.isJson) cli.json(result);
  else if (!cli.isQuiet) cli.say(`image '${name}' is built`);
};
