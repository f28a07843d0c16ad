import { Option, type Command } from '@commander-js/extra-typings';
import type { Cli } from '../../../cli.ts';
import { json, name, onlyErrors } from '../../options.ts';

/** What of a repository goes in: of `vm run` and `vm workspace prepare`. */
export const guestPath = [
  '--guest-path <path>',
  'where it is in the VM; /root/repo where absent',
] as const;
export const branch = ['--branch <name>', 'a new branch in the VM'] as const;
export const from = ['--from <revision>', 'where that branch begins; HEAD where absent'] as const;
export const includeUntracked = [
  '--include-untracked',
  'untracked files as well, but never ignored ones',
] as const;
export const mode = () =>
  new Option('--mode <mode>', 'how much of it').choices([
    'shallow_overlay',
    'full_copy',
    'metadata_only',
  ] as const);

/** `banger vm workspace …` */
export const defineWorkspaceCommands = (vm: Command, cli: Cli): void => {
  const workspace = vm
    .command('workspace')
    .description('a git repository that goes into a VM, and comes back as a patch');

  workspace
    .command('prepare')
    .summary('bring a repository into a running VM')
    .description(
      'Bring a repository into a running VM: HEAD, and the changes of tracked files on top of it.\n' +
        'Untracked files stay behind unless asked for, and ignored ones always: they may hold secrets.',
    )
    .argument(...name)
    .argument('<path>', 'a folder of a git repository')
    .option(...guestPath)
    .option(...branch)
    .option(...from)
    .addOption(mode())
    .option(...includeUntracked)
    .option('--dry-run', 'only list what would go in')
    .option(...json)
    .option(...onlyErrors)
    .addHelpText(
      'after',
      '\nModes:\n' +
        '  shallow_overlay  HEAD without its history, and local changes (the default)\n' +
        '  full_copy        all history, branches, tags and submodules, and local changes\n' +
        '  metadata_only    HEAD without its history, and no local changes',
    )
    .action(async (target, path, options) =>
      (await import('./prepare.ts')).prepareWorkspace(cli, target, path, options),
    );

  workspace
    .command('export')
    .summary('write what the VM has made of it as one patch')
    .description(
      'Write what the VM has made of it as one patch, for `git apply --index` on a clean checkout of the base.\n' +
        'It has all of the working tree, committed or not, save ignored files. Neither index is touched.',
    )
    .argument(...name)
    .option('-o, --output <file>', 'standard output where absent')
    .option('--base-commit <commit>', 'differences from this one, which the VM must know')
    .option(...json)
    .option(...onlyErrors)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm workspace export web --output web.patch\n' +
        '  banger vm workspace export web | git apply --index',
    )
    .action(async (target, options) =>
      (await import('./export.ts')).exportWorkspace(cli, target, options),
    );

  workspace
    .command('status')
    .description('tell what has moved on either side')
    .argument(...name)
    .option(...json)
    .option('-q, --quiet', 'only what would be lost with the VM')
    .action(async (target) => (await import('./status.ts')).workspaceStatus(cli, target));

  workspace
    .command('pull')
    .summary('merge what the VM has made of it into the working tree here')
    .description(
      'Merge what the VM has made of it into the working tree that it came from. Changes here are kept;\n' +
        'where both sides have changed the same lines nothing is done. The index is left as it is.',
    )
    .argument(...name)
    .option(...json)
    .option(...onlyErrors)
    .action(async (target) => (await import('./pull.ts')).pullWorkspace(cli, target));
};
