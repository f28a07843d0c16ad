import type { ProcessIdentity } from '../../host/executor.ts';
import type { Instance } from '../../host/host.ts';
import { findByName, isOurs, workingFolder, type VmmMarks } from './find.ts';
import type { VmmClaims } from './identity.ts';
import { processName } from './names.ts';

/** One that runs, and what it is called in its own arguments. */
export interface VmmProcess extends ProcessIdentity {
  readonly name: string;
}

const claimed = async (marks: VmmMarks, claims: VmmClaims): Promise<VmmProcess | undefined> => {
  for (const { identity, observed } of claims.list({ scope: 'run' })) {
    if (identity.kind !== 'process' || observed === undefined || !('pid' in observed)) continue;
    if (await isOurs(marks, observed, identity.name))
      return { pid: observed.pid, startTicks: observed.startTicks, name: identity.name };
  }
  return undefined;
};

/** Where the claim cannot be read: the process itself says that it is ours, and whose. */
const marked = async (
  marks: VmmMarks,
  vmId: string,
  instance: Instance,
): Promise<VmmProcess | undefined> => {
  const prefix = processName(instance.token, '');
  const named = await findByName(marks, (name) => name.startsWith(prefix));
  return named.find((each) => each.vmId === vmId && !each.isWriter);
};

const claimedFolder = (claims: VmmClaims): string | undefined =>
  claims
    .list({ scope: 'vm' })
    .map(({ identity }) => (identity.kind === 'folder' ? identity.path : undefined))
    .find((path) => path !== undefined);

/** The VMM itself may work in a room, and even see no more than that: the writer of its logs stands in the folder. */
const folderOf = async (marks: VmmMarks, process: VmmProcess): Promise<string | undefined> => {
  const named = await findByName(marks, (name) => name === process.name);
  return workingFolder(named.find(({ isWriter }) => isWriter) ?? process);
};

/** The VM's running VMM and its folder, after a restart of the daemon; undefined where it is gone. */
export const findVmm = async (
  marks: VmmMarks,
  instance: Instance,
  vmId: string,
  claims: VmmClaims,
): Promise<{ readonly process: VmmProcess; readonly folder: string } | undefined> => {
  const process = (await claimed(marks, claims)) ?? (await marked(marks, vmId, instance));
  if (process === undefined) return undefined;
  const folder = claimedFolder(claims) ?? (await folderOf(marks, process));
  return folder === undefined ? undefined : { process, folder };
};
