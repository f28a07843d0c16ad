import type { Command } from '@commander-js/extra-typings';
import { parseBytes } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { json, onlyErrors } from '../options.ts';

export const defineCopy = (vm: Command, cli: Cli): void => {
  vm.command('cp')
    .summary('copy a file or folder to a VM or from it')
    .description(
      'Copy a file or folder to a VM or from it, without SSH. One of the two is NAME:PATH; a relative PATH is one ' +
        'below /root. A folder that is there gets the source below its name, FOLDER/. means what is in a folder.',
    )
    .argument('<source>', 'PATH or NAME:PATH')
    .argument('<destination>', 'NAME:PATH or PATH')
    .option('--limit <size>', 'the most that a guest may send; 64G where absent', parseBytes)
    .option(...json)
    .option(...onlyErrors)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm cp notes.txt web:              to /root/notes.txt\n' +
        '  banger vm cp ./site/. web:/srv/www       what is in ./site\n' +
        '  banger vm cp web:/var/log ./logs         a folder, to the host',
    )
    .action(async (source, destination, options) =>
      (await import('./cp.ts')).copyFiles(cli, source, destination, options),
    );
};
