import type { WorkspacePulled } from '../../../../capabilities/workspace/contract.ts';
import { checkVmName } from '../../../check.ts';
import type { Cli } from '../../../cli.ts';
import { plainLine } from '../../../render/plain-text.ts';
import { runAction } from '../../action.ts';
import { sayChanges } from './arguments.ts';

export const pullWorkspace = async (cli: Cli, name: string): Promise<void> => {
  checkVmName(name);
  const pulled = (await runAction(cli, 'workspace', 'pull', { vm: name })) as WorkspacePulled;
  if (cli.isJson) cli.json(pulled);
  else if (!cli.isQuiet) {
    const { changes, repository } = pulled;
    cli.say(
      changes.length === 0
        ? `${plainLine(repository)} has all of it already`
        : `${String(changes.length)} ${changes.length === 1 ? 'file' : 'files'} changed in ${plainLine(repository)}:`,
    );
    sayChanges(cli, changes);
  }
};
