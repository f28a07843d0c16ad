import { resolve } from 'node:path';
import type { WorkspaceContents } from '../../../../capabilities/workspace/contract.ts';
import type { Cli } from '../../../cli.ts';
import { plainLine } from '../../../render/plain-text.ts';

/** What of a repository goes in, as the command line says it. */
export interface ContentsOptions {
  readonly guestPath?: string | undefined;
  readonly branch?: string | undefined;
  readonly from?: string | undefined;
  readonly mode?: 'shallow_overlay' | 'full_copy' | 'metadata_only' | undefined;
  readonly includeUntracked?: boolean | undefined;
}

/** The actions' input. A relative path is one of this process's. */
export const contentsInput = (path: string, options: ContentsOptions): object => ({
  path: resolve(path),
  ...(options.mode === undefined ? {} : { mode: options.mode }),
  ...(options.branch === undefined ? {} : { branch: options.branch }),
  ...(options.from === undefined ? {} : { from: options.from }),
  includeUntracked: options.includeUntracked === true,
});

/** At most this many files are listed one by one, save in JSON. */
const listed = 50;

export const sayChanges = (
  cli: Cli,
  changes: readonly { readonly status: string; readonly path: string }[],
): void => {
  for (const { status, path } of changes.slice(0, listed))
    cli.say(`  ${status} ${plainLine(path)}`);
  if (changes.length > listed) cli.say(`  and ${String(changes.length - listed)} more`);
};

export const sayContents = (cli: Cli, contents: WorkspaceContents): void => {
  const { repository, mode, base, branch, changes } = contents;
  const at = base === null ? 'no commit yet' : base.slice(0, 12);
  cli.say(
    `${plainLine(repository)}: ${plainLine(branch ?? 'detached HEAD')} at ${at}, ${mode}, ` +
      (changes.length === 0
        ? 'no local changes'
        : `${String(changes.length)} changed ${changes.length === 1 ? 'file' : 'files'}:`),
  );
  sayChanges(cli, changes);
  for (const notice of contents.notices) cli.say(`note: ${plainLine(notice)}`);
};
