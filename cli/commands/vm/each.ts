import type { Accepted } from '../../../core/api/contract/types.ts';
import { checkVmNames } from '../../check.ts';
import { ask, canAsk } from '../../ask.ts';
import type { Cli } from '../../cli.ts';
import { CliError, exitCodes, interruptedError } from '../../error.ts';
import { follow, startUndone } from '../../operation/follow.ts';
import { plainLine } from '../../render/plain-text.ts';
import { printError } from '../../render/print-error.ts';

interface Verb {
  readonly call: (cli: Cli, name: string) => Promise<Partial<Accepted>>;
  readonly done: string;
  /** Said where there was nothing to do. */
  readonly already: string;
  readonly isCancellable?: boolean;
  readonly afterCancel?: string;
  /** Asked about one VM at a time where it would lose something; then it is done all the same. */
  readonly force?: (cli: Cli, name: string) => Promise<Partial<Accepted>>;
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
    afterCancel: startUndone,
  },
  stop: { call: post('stop'), done: 'has stopped', already: 'is stopped already' },
  pause: { call: post('pause'), done: 'is paused', already: 'is paused already' },
  resume: { call: post('resume'), done: 'goes on', already: 'is running already' },
  restart: { call: post('restart'), done: 'is running', already: 'is running' },
  kill: { call: post('kill'), done: 'was killed', already: 'is stopped already' },
  delete: {
    call: (cli, name) => cli.client.delete(`/v1/vms/${name}`),
    force: (cli, name) => cli.client.delete(`/v1/vms/${name}?force=true`),
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
  const { call, force, done, already, ...options }: Verb = verbs[verb];
  let asked: Promise<unknown> = Promise.resolve();
  const askFirst = (error: CliError): Promise<boolean> => {
    const question = `${plainLine(error.body.message)}.\n${plainLine(error.body.remedy)}\nDelete it all the same?`;
    const answer = asked.then(() => ask(question));
    asked = answer;
    return answer;
  };
  const begin = async (name: string): Promise<Partial<Accepted>> => {
    try {
      return await call(cli, name);
    } catch (error) {
      const isGuarded = error instanceof CliError && error.body.code === 'VM_HOLDS_WORK';
      if (!isGuarded || force === undefined || !canAsk(cli)) throw error;
      if (!(await askFirst(error))) throw kept(name);
      return force(cli, name);
    }
  };
  const one = async (name: string): Promise<void> => {
    try {
      const { operation } = await begin(name);
      if (operation !== undefined)
        await follow(cli, operation, { ...options, ...(names.length > 1 ? { label: name } : {}) });
      if (!cli.isQuiet) cli.say(`${name} ${operation === undefined ? already : done}`);
    } catch (error) {
      cli.exitCode = printError(cli, error);
    }
  };
  await Promise.all(names.map(one));
};

const kept = (name: string): CliError =>
  interruptedError(
    `VM '${name}' was kept`,
    `Save what it holds first, then delete it.`,
    exitCodes.failure,
  );
