import type { Command } from '@commander-js/extra-typings';
import { parseCount } from '../check.ts';
import type { Cli } from '../cli.ts';
import { json, quiet } from './options.ts';

export const defineImageCommands = (program: Command, cli: Cli): void => {
  const image = program.command('image').description('what VMs are made from');
  image
    .command('list')
    .alias('ls')
    .description('list images')
    .option(...json)
    .option(...quiet)
    .action(async () => (await import('./image/list.ts')).listImages(cli));
  image
    .command('show')
    .description('tell all about an image')
    .argument('<image>')
    .option(...json)
    .option(...quiet)
    .action(async (name) => (await import('./image/show.ts')).showImage(cli, name));
  image
    .command('build')
    .description('build an image now; `vm run` does so when it is needed')
    .argument('<image>')
    .option('--rebuild', 'from the newest packages, though it is built already')
    .option(...json)
    .option(...quiet)
    .action(async (name, options) =>
      (await import('./image/build.ts')).buildImage(cli, name, options),
    );
  image
    .command('delete')
    .alias('rm')
    .description('delete images that no VM uses')
    .argument('<image...>')
    .option(...quiet)
    .action(async (images) => (await import('./image/delete.ts')).deleteImages(cli, images));
};

export const defineKernelCommands = (program: Command, cli: Cli): void => {
  program
    .command('kernel')
    .description('what guests boot')
    .command('list')
    .alias('ls')
    .description('list kernels')
    .option(...json)
    .option(...quiet)
    .action(async () => (await import('./kernel/list.ts')).listKernels(cli));
};

export const defineDaemonCommands = (program: Command, cli: Cli): void => {
  const daemon = program
    .command('daemon')
    .description('the process behind it all; commands start it by themselves');
  daemon
    .command('start')
    .description('start it, or put this build in the place of another one')
    .option(...quiet)
    .action(async () => (await import('./daemon/start.ts')).start(cli));
  daemon
    .command('stop')
    .description('stop it; running VMs go on')
    .option(...quiet)
    .action(async () => (await import('./daemon/stop.ts')).stop(cli));
  daemon
    .command('restart')
    .description('stop and start it; running VMs go on')
    .option(...quiet)
    .action(async () => (await import('./daemon/restart.ts')).restart(cli));
  daemon
    .command('status')
    .description('tell how it is; never starts it')
    .option(...json)
    .option(...quiet)
    .action(async () => (await import('./daemon/status.ts')).status(cli));
  daemon
    .command('restore')
    .description('put a backup in the place of the database; the daemon must not run')
    .argument('[backup]', 'its name, or a path; the newest good one for a damaged database')
    .option('-l, --list', 'list the backups there are, and restore none')
    .option(...json)
    .option(...quiet)
    .action(async (backup, options) =>
      (await import('./daemon/restore.ts')).restore(cli, backup, options),
    );
  daemon
    .command('logs')
    .description('print its log')
    .option('-f, --follow', 'go on with what comes')
    .option('-n, --lines <n>', 'only the last ones', parseCount)
    .action(async (options) => (await import('./daemon/logs.ts')).logs(cli, options));
};

export const defineDoctor = (program: Command, cli: Cli): void => {
  program
    .command('doctor')
    .description('see whether this host has what banger needs (exits 1 for an error)')
    .option(...json)
    .option('-q, --quiet', 'only what is not well')
    .option('--leaks', 'look for what banger left on the host instead (exits 1 for a leak)')
    .option('--fix', 'remove what leaks (with --leaks)')
    .action(async ({ leaks, fix }) => {
      if (leaks === true || fix === true)
        await (await import('./leaks.ts')).leaks(cli, { fix: fix === true });
      else await (await import('./doctor.ts')).doctor(cli);
    });
};

export const defineActions = (program: Command, cli: Cli): void => {
  program
    .command('x')
    .description('list the actions of capabilities and plugins, or call one')
    .argument('[capability]')
    .argument('[action]')
    .argument('[json]', 'its input')
    .option(...json)
    .option(...quiet)
    .action(async (capability, action, input) =>
      (await import('./action.ts')).callAction(cli, capability, action, input),
    );
};
