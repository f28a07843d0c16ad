import type { WorkspaceStatus } from '../../../../capabilities/workspace/contract.ts';
import { checkVmName } from '../../../check.ts';
import type { Cli } from '../../../cli.ts';
import { fields } from '../../../render/fields.ts';
import { runAction } from '../../action.ts';

export const workspaceStatus = async (cli: Cli, name: string): Promise<void> => {
  checkVmName(name);
  const status = (await runAction(cli, 'workspace', 'status', { vm: name })) as WorkspaceStatus;
  if (cli.isJson) cli.json(status);
  else if (cli.isQuiet) cli.out(status.unsaved === null ? '' : `${status.unsaved}\n`);
  else cli.out(described(status));
};

const described = (status: WorkspaceStatus): string => {
  const { guest, host } = status;
  return fields([
    ['repository', status.repository],
    ['in the guest', status.guestPath],
    ['mode', status.mode],
    ['base', status.base ?? '- (no commit yet)'],
    ['guest', guest === null ? status.guestError : side(guest)],
    ['guest commits', guest === null ? null : commits(guest)],
    ...changed('guest changed', guest),
    ['host', host === null ? status.hostError : side(host)],
    ...changed('host changed', host),
    ['unsaved', status.unsaved ?? 'nothing'],
  ]);
};

type Side = NonNullable<WorkspaceStatus['host']>;

const side = ({ head, branch, changes, isCut }: Side): string =>
  `${branch ?? 'detached HEAD'} at ${head?.slice(0, 12) ?? 'no commit yet'}, ` +
  `${isCut ? 'more than ' : ''}${String(changes.length)} changed since both had the same`;

const commits = ({
  commits: ahead,
  commitsElsewhere,
  changedInside,
}: NonNullable<WorkspaceStatus['guest']>): string =>
  `${String(ahead)} on top of the base` +
  (commitsElsewhere === 0
    ? ''
    : `, ${String(commitsElsewhere)} on other branches or in the stash, which no export brings along`) +
  (changedInside === 0
    ? ''
    : `; ${String(changedInside)} repositories or submodules inside have changes, which no export brings along`);

const shown = 20;

const changed = (label: string, of: Side | null): [string, string][] =>
  (of?.changes ?? [])
    .slice(0, shown)
    .map(({ status: what, path }): [string, string] => [label, `${what} ${path}`])
    .concat((of?.changes.length ?? 0) > shown ? [[label, '… (--json has all)']] : []);
