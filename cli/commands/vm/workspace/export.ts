import { createReadStream } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { once } from 'node:events';
import type { WorkspaceExported } from '../../../../capabilities/workspace/contract.ts';
import { formatSize } from '../../../../core/size.ts';
import { checkVmName } from '../../../check.ts';
import type { Cli } from '../../../cli.ts';
import { CliError, codeOf, usageError } from '../../../error.ts';
import { plainLine } from '../../../render/plain-text.ts';
import { runAction } from '../../action.ts';

export interface ExportOptions {
  readonly output?: string | undefined;
  readonly baseCommit?: string | undefined;
}

/** To a file, or to standard output, where it may be piped into `git apply --index`. */
export const exportWorkspace = async (
  cli: Cli,
  name: string,
  { output, baseCommit }: ExportOptions,
): Promise<void> => {
  checkVmName(name);
  const target = output === undefined || output === '-' ? undefined : resolve(output);
  if (cli.isJson && target === undefined)
    throw usageError('--json has standard output to itself', 'Say --output FILE for the patch.');
  // Before the guest is asked: what is counted as exported must have a place.
  if (target !== undefined) await assertWritable(target);
  const exported = (await runAction(cli, 'workspace', 'export', {
    vm: name,
    ...(baseCommit === undefined ? {} : { baseCommit }),
  })) as WorkspaceExported;
  if (target === undefined) await print(cli, exported.patch);
  else await copyFile(exported.patch, target).catch(unwritable(target));
  if (cli.isJson) cli.json({ ...exported, patch: target });
  else if (!cli.isQuiet && target !== undefined) cli.say(summary(exported, target));
};

const summary = ({ bytes, base, isTried }: WorkspaceExported, target: string): string => {
  const from = base === null ? 'an empty repository' : base.slice(0, 12);
  if (bytes === 0) return `no differences from ${from}; ${plainLine(target)} is empty`;
  return (
    `${plainLine(target)} (${formatSize(bytes)}): take it with \`git apply --index\` on ${plainLine(from)}` +
    (isTried ? '' : '; that commit is not on this host, so it could not be tried')
  );
};

const unwritable =
  (target: string) =>
  (error: unknown): never => {
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `${target} cannot be written (${codeOf(error) ?? String(error)})`,
      remedy: 'Name another file with --output.',
    });
  };

const assertWritable = async (target: string): Promise<void> => {
  const file = await open(target, 'a').catch(unwritable(target));
  await file.close();
};

const print = async (cli: Cli, patch: string): Promise<void> => {
  for await (const chunk of createReadStream(patch)) {
    if (cli.outBroken.aborted) return;
    if (!process.stdout.write(chunk as Buffer))
      await Promise.race([once(process.stdout, 'drain'), once(cli.outBroken, 'abort')]);
  }
};
