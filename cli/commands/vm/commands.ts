import type { Command } from '@commander-js/extra-typings';
import { parseCount, parseDisk, parseMemory, parseSwitch, parseVariable } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { json, name, names, quiet } from '../options.ts';
import { defineCopy } from './copy-command.ts';
import {
  branch,
  defineWorkspaceCommands,
  from,
  guestPath,
  includeUntracked,
  mode,
} from './workspace/commands.ts';

/** `banger vm …`. What a command does is loaded when it runs; only its words are here. */
export const defineVmCommands = (program: Command, cli: Cli): void => {
  const vm = program.command('vm').description('make and use VMs');
  defineNew(vm, cli);
  defineUse(vm, cli);
  defineCopy(vm, cli);
  defineState(vm, cli);
  defineRead(vm, cli);
  defineWorkspaceCommands(vm, cli);
};

const defineNew = (vm: Command, cli: Cli): void => {
  const withSpec = (command: Command) =>
    command
      .option('--name <name>', 'a DNS label; generated where absent')
      .option('--image <image>', 'see `banger image list`')
      .option('--vcpu <n>', 'virtual CPUs', parseCount)
      .option('--memory <size>', 'MiB, or with a unit: 2G', parseMemory)
      .option('--disk-size <size>', 'of /root, with a unit: 8G', parseDisk)
      .option('--no-nat', 'no way out by the host’s addresses')
      .option(...quiet);

  withSpec(
    vm
      .command('run')
      .summary('make a VM, start it, and run a command or a shell in it')
      .description(
        'Make a VM, start it, and run a command or a shell in it. It stays afterwards, save with --rm.\n' +
          'With a path, the git repository there goes in, and the command runs in it.\n' +
          'The exit code is the command’s own (128 + n for signal n); 125 is banger’s own failure.',
      )
      .usage('[options] [PATH] [-- COMMAND...]'),
  )
    .argument('[path]', 'a folder of a git repository')
    .option('--rm', 'delete the VM when the command ends, or this client does')
    .option(...guestPath)
    .option(...branch)
    .option(...from)
    .addOption(mode())
    .option(...includeUntracked)
    .option(...json)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm run                              a shell in a new VM\n' +
        '  banger vm run --rm -- uname -a             one command, then nothing is left\n' +
        '  banger vm run .                            this repository in a new VM, at /root/repo\n' +
        '  banger vm run --rm . -- make test          and a command in it\n' +
        '  banger vm run --name web --memory 2G --vcpu 2\n' +
        '  tar c . | banger vm run --rm -- tar x      standard input goes to the command',
    )
    .action(async (path, options) => (await import('./run.ts')).runVm(cli, path, options));

  withSpec(
    vm
      .command('create')
      .summary('make a VM and start it')
      .description('Make a VM and start it; its name goes to standard output.'),
  )
    .argument('[name]', 'the same as --name')
    .option('--no-start', 'only put it on record')
    .option(...json)
    .action(async (word, options) => (await import('./create.ts')).createVm(cli, word, options));
};

const defineUse = (vm: Command, cli: Cli): void => {
  vm.command('ssh')
    .summary('log in by SSH')
    .description('Log in with the system’s OpenSSH. What follows the name is ssh’s own.')
    .usage('[options] NAME [SSH-OPTIONS] [COMMAND...]')
    .argument(...name)
    .argument('[words...]', 'options of ssh, then a command')
    .option(...quiet)
    .passThroughOptions()
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm ssh web\n' +
        '  banger vm ssh web -L 8080:localhost:80\n' +
        '  banger vm ssh web -- systemctl status',
    )
    .action(async (target, words) => (await import('./ssh.ts')).sshToVm(cli, target, words));

  vm.command('exec')
    .summary('run a command in a running VM')
    .description(
      'Run a command in a running VM, without SSH. Exits with the command’s own code.\n' +
        'In a terminal, `~.` at the start of a line leaves a command that hangs.',
    )
    .usage('[options] NAME -- COMMAND...')
    .argument(...name)
    .argument('[words...]')
    .option('-t, --tty', 'give it a terminal (where we have one: the default)')
    .option('--no-tty', 'give it none')
    .option('-i, --stdin', 'pass standard input on (the default)')
    .option('-n, --no-stdin', 'give it an empty standard input')
    .option('-e, --env <NAME=VALUE>', 'set a variable; may be repeated', parseVariable)
    .option('-w, --cwd <folder>', 'where to run it; the user’s home where absent')
    .option('-u, --user <user>', 'as whom: a name of the guest, UID or UID:GID; root where absent')
    .option('--json', 'an error of banger’s own as JSON, on standard error')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm exec web -- journalctl -n 20\n' +
        '  banger vm exec web -- cat /etc/hosts > hosts\n' +
        '  banger vm exec -e DEBUG=1 -w /srv web -- ./run',
    )
    .action(async (target, words, options) => {
      const { execCommand } = await import('./exec.ts');
      await execCommand(cli, target, words, { ...options, stdin: options.stdin !== false });
    });
};

const defineState = (vm: Command, cli: Cli): void => {
  const plain = [
    ['start', 'start VMs'],
    ['stop', 'shut VMs down in order'],
    ['restart', 'stop and start VMs'],
    ['pause', 'have VMs stand still, with all that they have in memory'],
    ['resume', 'have paused VMs go on'],
    ['kill', 'stop VMs at once, as by a power cut'],
  ] as const;
  for (const [verb, description] of plain) {
    vm.command(verb)
      .description(description)
      .argument(...names)
      .option(...quiet)
      .action(async (targets) => (await import('./each.ts')).eachVm(cli, verb, targets));
  }
  vm.command('set')
    .summary('change what a VM has')
    .description(
      'Change what a VM has. In a running one the disk and the way out change at once; virtual CPUs and\n' +
        'memory at its next start.',
    )
    .argument(...name)
    .option('--vcpu <n>', 'virtual CPUs', parseCount)
    .option('--memory <size>', 'MiB, or with a unit: 2G', parseMemory)
    .option('--disk-size <size>', 'of /root, with a unit: 8G; disks grow only', parseDisk)
    .option('--nat <on|off>', 'the way out by the host’s addresses', parseSwitch)
    .option(...json)
    .option(...quiet)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  banger vm set web --disk-size 20G\n' +
        '  banger vm set web --vcpu 4 --memory 8G && banger vm restart web\n' +
        '  banger vm set web --nat off',
    )
    .action(async (target, options) => (await import('./set.ts')).setVm(cli, target, options));
  vm.command('delete')
    .alias('rm')
    .description('delete VMs with their disks')
    .argument(...names)
    .option('-f, --force', 'stop those that run first, and lose what they hold')
    .option(...quiet)
    .action(async (targets, { force }) => {
      const { eachVm } = await import('./each.ts');
      await eachVm(cli, force === true ? 'deleteForced' : 'delete', targets);
    });
};

const defineRead = (vm: Command, cli: Cli): void => {
  vm.command('list')
    .alias('ls')
    .description('list VMs')
    .option(...json)
    .option(...quiet)
    .action(async () => (await import('./list.ts')).listVms(cli));
  vm.command('show')
    .description('tell all about a VM')
    .argument(...name)
    .option(...json)
    .option(...quiet)
    .action(async (target) => (await import('./show.ts')).showVm(cli, target));
  vm.command('stats')
    .description('tell what running VMs take')
    .argument('[name]', 'name or id of a VM; all that run where absent')
    .option('-w, --watch', 'look again every 2 seconds, until ^C')
    .option(...json)
    .option(...quiet)
    .action(async (target, options) =>
      (await import('./stats.ts')).showStats(cli, target, options),
    );
  vm.command('ports')
    .description('tell which ports listen in a VM, and where a browser finds those of HTTP')
    .argument(...name)
    .option(...json)
    .option(...quiet)
    .action(async (target) => (await import('./ports.ts')).showPorts(cli, target));
  vm.command('health')
    .description('tell whether a VM is well (exits 1 where it is not)')
    .argument(...name)
    .option(...json)
    .option('-q, --quiet', 'by the exit code alone')
    .action(async (target) => (await import('./health.ts')).showHealth(cli, target));
  vm.command('logs')
    .description('print what a VM’s console, its agent or its VMM has written')
    .argument(...name)
    .option('--console', 'the guest’s console (the default)')
    .option('--agent', 'what the agent in the guest says; it must answer')
    .option('--vmm', 'what the VMM itself says')
    .option('--metrics', 'what the VMM has counted, a line of JSON a minute (Firecracker)')
    .option('-f, --follow', 'go on with what comes')
    .option('-n, --lines <n>', 'only the last ones', parseCount)
    .action(async (target, options) => (await import('./logs.ts')).showLogs(cli, target, options));
};
