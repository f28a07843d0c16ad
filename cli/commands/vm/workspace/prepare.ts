import type {
  WorkspaceContents,
  WorkspacePrepared,
} from '../../../../capabilities/workspace/contract.ts';
import { checkVmName } from '../../../check.ts';
import type { Cli } from '../../../cli.ts';
import { runAction } from '../../action.ts';
import { contentsInput, sayContents, type ContentsOptions } from './arguments.ts';

export interface PrepareOptions extends ContentsOptions {
  readonly dryRun?: boolean | undefined;
}

export const prepareWorkspace = async (
  cli: Cli,
  name: string,
  path: string,
  options: PrepareOptions,
): Promise<void> => {
  checkVmName(name);
  if (options.dryRun === true) {
    const contents = await checkContents(cli, path, options);
    if (cli.isJson) cli.json(contents);
    else sayContents(cli, contents);
    return;
  }
  const prepared = await bringIn(cli, name, path, options);
  if (cli.isJson) cli.json(prepared);
  else if (!cli.isQuiet) {
    sayContents(cli, { ...prepared, notices: [] });
    cli.say(`${name} has it at ${prepared.guestPath}`);
  }
};

/** What would go in. @throws CliError where nothing can */
export const checkContents = async (
  cli: Cli,
  path: string,
  options: ContentsOptions,
): Promise<WorkspaceContents> =>
  (await runAction(cli, 'workspace', 'check', contentsInput(path, options))) as WorkspaceContents;

export const bringIn = async (
  cli: Cli,
  vm: string,
  path: string,
  options: ContentsOptions,
): Promise<WorkspacePrepared> =>
  (await runAction(cli, 'workspace', 'prepare', {
    vm,
    ...contentsInput(path, options),
    ...(options.guestPath === undefined ? {} : { guestPath: options.guestPath }),
  })) as WorkspacePrepared;
