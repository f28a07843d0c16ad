import type { Accepted } from '../../../core/api/contract/types.ts';
import { checkVmNames } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { follow } from '../../operation/follow.ts';
import { printError } from '../../render/print-error.ts';

interface Verb {
  readonly call: (cli: Cli, name: string) => Promise<Partial<Accepted>>;
  readonly done: string;
  /** Said where there was nothing to do. */
  readonly already: string;
  readonly isCancellable?: boolean;
}

const post =
  (action: string) =>
  (cli: Cli, name: string): Promise<Partial<Accepted>> =>
    cli.client.post(`/v1/vms/${name}/${action}`);

const verbs = {
  start: {
    call: post('start'),
    done: 'is running',
    already: 'is running already',
    isCancellable: true,
  },
  stop: { call: post('stop'), done: 'has stopped', already: 'is stopped already' },
  restart: { call: post('restart'), done: 'is running', already: 'is running' },
  kill: { call: post('kill'), done: 'was killed', already: 'is stopped already' },
  delete: {
    call: (cli, name) => cli.client.delete(`/v1/vms/${name}`),
    done: 'was deleted',
    already: 'was deleted',
  },
  deleteForced: {
    call: (cli, name) => cli.client.delete(`/v1/vms/${name}?force=true`),
    done: 'was deleted',
    already: 'was deleted',
  },
} as const satisfies Record<string, Verb>;

/** Does it to all of them at once; each that fails says so, and the last failure is the exit code. */
export const eachVm = async (
  cli: Cli,
  verb: keyof typeof verbs,
  given: readonly string[],
): Promise<void> => {
  const names = checkVmNames(given);
  const { call, done, already, ...options }: Verb = verbs[verb];
  const one = async (name: string): Promise<void> => {
    try {
      const { operation } = await call(cli, name);
      if (operation !== undefined)
        await follow(cli, operation, { ...options, ...(names.length > 1 ? { label: name } : {}) });
      if (!cli.isQuiet) cli.say(`${name} ${operation === undefined ? already : done}`);
    } catch (error) {
      cli.exitCode = printError(cli, error);
    }
  };
  await Promise.all(names.map(one));
};
