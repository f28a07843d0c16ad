import type { Command } from '@commander-js/extra-typings';
import type { Cli } from '../../cli.ts';
import { onlyErrors } from '../options.ts';

/** `banger ssh-config`, and the two commands that what it writes has OpenSSH call. */
export const defineSshConfig = (program: Command, cli: Cli): void => {
  program
    .command('ssh-config')
    .summary('make `ssh NAME.vm`, scp, rsync and editors work')
    .description(
      'Print what OpenSSH needs for `ssh NAME.vm`, or put it to use: --install adds one line to ~/.ssh/config, ' +
        '--uninstall takes it out again. scp, rsync and VS Code Remote read the same file.',
    )
    .option('--install', 'include it in ~/.ssh/config')
    .option('--uninstall', 'take that back')
    .option(...onlyErrors)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger ssh-config --install && ssh web.vm\n' +
        '  rsync -a site/ web.vm:/srv/www/\n' +
        '  banger ssh-config > c && ssh -F c web.vm    without touching anything',
    )
    .action(async (options) => (await import('./ssh-config.ts')).sshConfig(cli, options));
  program
    .command('ssh-proxy', { hidden: true })
    .argument('<host>')
    .action(async (host) => (await import('./proxy.ts')).proxy(cli, host));
  program
    .command('ssh-known-host', { hidden: true })
    .argument('<host>')
    .action(async (host) => (await import('./known-host.ts')).knownHost(cli, host));
};
