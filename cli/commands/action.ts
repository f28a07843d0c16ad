import type { Accepted, ActionInfo } from '../../core/api/contract/types.ts';
import type { Cli } from '../cli.ts';
import { readJson } from '../client/call.ts';
import { usageError } from '../error.ts';
import { follow } from '../operation/follow.ts';
import { plainLine } from '../render/plain-text.ts';
import { printTable } from '../render/table.ts';

/** Any capability's action, also of a plugin that the CLI has no command for. */
export const callAction = async (
  cli: Cli,
  capability: string | undefined,
  action: string | undefined,
  input: string | undefined,
): Promise<void> => {
  if (capability === undefined || action === undefined) await listActions(cli, capability);
  else cli.json(await runAction(cli, capability, action, parseInput(input)));
};

const listActions = async (cli: Cli, capability: string | undefined): Promise<void> => {
  const all = await cli.client.get<{ actions: ActionInfo[] }>('/v1/x');
  const actions = all.actions.filter(
    (each) => capability === undefined || each.capability === capability,
  );
  if (cli.isJson) cli.json(actions);
  else if (cli.isQuiet)
    cli.out(actions.map((each) => `${each.capability} ${each.action}\n`).join(''));
  else if (actions.length === 0)
    cli.say(`No actions${capability === undefined ? '' : ` of '${plainLine(capability)}'`}.`);
  else
    await printTable(
      cli,
      ['CAPABILITY', 'ACTION', 'MODE', 'SUMMARY'],
      actions.map((each) => [each.capability, each.action, each.mode, each.summary]),
    );
};

const parseInput = (text = '{}'): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw usageError(`the input is no JSON: ${error.message}`, 'Quote it: \'{"name": "x"}\'.');
  }
};

/** Calls an action, and follows it where it is an operation. @returns its output */
export const runAction = async (
  cli: Cli,
  capability: string,
  action: string,
  input: unknown,
): Promise<unknown> => {
  const path = `/v1/x/${encodeURIComponent(capability)}/${encodeURIComponent(action)}`;
  const response = await cli.client.open({ method: 'POST', path, body: input });
  const answer = await readJson(response);
  if (response.statusCode !== 202) return answer;
  const { result } = await follow(cli, (answer as Accepted).operation, { isCancellable: true });
  return result;
};
